#pragma once

#include <optional>

#include "trainer/kernels/linear.h"

// A matrix of the model, with its bias where it has one. Not copied or moved once the model is
// built: the graph and the Sharding hold the parameters' addresses.
namespace lathe {

struct LinearLayer {
  Parameter weight;  // [out, in]
  std::optional<Parameter> bias;
  bool transposed = false;  // then the weight is [in, out]

  LinearWeights weights() { return {&weight, bias ? &*bias : nullptr, transposed}; }
  at::Tensor operator()(const at::Tensor& x_TI) { return linear(x_TI, weights()); }
  void list(std::vector<Parameter*>& into) {
    into.push_back(&weight);
    if (bias) into.push_back(&*bias);
  }
};

}  // namespace lathe

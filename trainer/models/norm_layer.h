#pragma once

#include <optional>

#include "trainer/kernels/layer_norm.h"
#include "trainer/kernels/norm.h"

// A norm of the model: root mean square, or LayerNorm where it has a bias.
namespace lathe {

struct NormLayer {
  Parameter weight;  // [H]
  RmsNorm options;
  std::optional<Parameter> bias = {};

  at::Tensor operator()(const at::Tensor& x_TH) {
    return bias ? layer_norm(x_TH, weight, *bias, options.eps) : rms_norm(x_TH, weight, options);
  }
  // Of x + delta, with the sum.
  AddedAndNormed add(const at::Tensor& x_TH, const at::Tensor& delta_TH) {
    if (bias) {
      const at::Tensor sum_TH = x_TH + delta_TH;
      return {sum_TH, (*this)(sum_TH)};
    }
    return add_rms_norm(x_TH, delta_TH, weight, options);
  }
  void list(std::vector<Parameter*>& into) {
    into.push_back(&weight);
    if (bias) into.push_back(&*bias);
  }
};

}  // namespace lathe

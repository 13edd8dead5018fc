#pragma once

#include <memory>
#include <optional>

#include "parallel/layers.h"
#include "trainer/kernels/lora.h"

// A matrix of the model, with its bias where it has one, and the adapter that trainer/lora.h may
// have put on it. Not copied or moved once the model is built: the graph and the Sharding hold the
// parameters' addresses.
namespace lathe {

struct LinearAdapter {
  Parameter a, b;                      // [r, in], [out, r]
  std::optional<Parameter> magnitude;  // [out]: DoRA
  double scale = 1, dropout = 0;
  uint64_t stream = 0;  // of the dropout
  bool enabled = true;
  int64_t first_input = 0;  // as in LoraWeights
  TensorParallel inputs = {};

  LoraWeights weights() {
    return {&a, &b, magnitude ? &*magnitude : nullptr, scale, dropout, stream, first_input, inputs};
  }
};

struct LinearLayer {
  Parameter weight;  // [out, in]
  std::optional<Parameter> bias;
  bool transposed = false;  // then the weight is [in, out]
  // Cut along its inputs: what it gives is a summand, and the bias is added to the sum.
  bool summand = false;
  std::unique_ptr<LinearAdapter> adapter = nullptr;

  LinearWeights weights() { return {&weight, bias && !summand ? &*bias : nullptr, transposed}; }
  // keys_T: the tokens' (trainer/kernels/noise.h), or undefined.
  at::Tensor operator()(const at::Tensor& x_TI, const at::Tensor& keys_T) {
    return adapted(x_TI, linear(x_TI, weights()), keys_T);
  }
  // The layer's output, with what the adapter adds to it; y_TO may be overwritten.
  at::Tensor adapted(const at::Tensor& x_TI, const at::Tensor& y_TO, const at::Tensor& keys_T) {
    if (!adapter || !adapter->enabled) return y_TO;
    return add_lora(x_TI, y_TO, weights(), adapter->weights(), keys_T);
  }
  // The ranks' summands, added up.
  at::Tensor leave(const at::Tensor& y_TO, const TensorParallel& tp) {
    const at::Tensor sum_SO = tp.leave(y_TO);
    return bias && summand ? add_bias(sum_SO, *bias) : sum_SO;
  }
  // The module's name, as Hugging Face has it.
  std::string name() const {
    return weight.name.substr(0, weight.name.size() - std::string_view(".weight").size());
  }
  void list_adapter(std::vector<Parameter*>& into) {
    if (!adapter) return;
    into.insert(into.end(), {&adapter->a, &adapter->b});
    if (adapter->magnitude) into.push_back(&*adapter->magnitude);
  }
  // Without the adapter's: those are no weights of the model's folder.
  void list(std::vector<Parameter*>& into) {
    into.push_back(&weight);
    if (bias) into.push_back(&*bias);
  }
};

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "parallel/parameter.h"

// y = x W^T + b, whose backward adds the gradients of W and b into their Parameters. A frozen
// weight gets none; the input's gradient flows all the same. Parameters must outlive the graph.
//
// Shape letters: T tokens, I inputs, O outputs.
namespace lathe {

struct LinearWeights {
  Parameter* weight;          // [O, I]
  Parameter* bias = nullptr;  // [O]
  bool transposed = false;    // the weight is [I, O], as GPT-2 stores it
};

// x_TI -> [T, O]
at::Tensor linear(const at::Tensor& x_TI, LinearWeights weights);
// Several products of one input, as of q, k and v: the input's gradient is summed inside the
// products.
std::vector<at::Tensor> linears(const at::Tensor& x_TI, const std::vector<LinearWeights>& weights);
// y_TO + b
at::Tensor add_bias(const at::Tensor& y_TO, Parameter& bias_O);

}  // namespace lathe

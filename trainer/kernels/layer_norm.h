#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/parameter.h"

// y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias (Ba et al. 2016, arXiv:1607.06450), whose
// backward adds the gradients of weight and bias, summed in float32, into their Parameters. By
// ATen's operations: only GPT-2 has it. Shape letters: T tokens, H width.
namespace lathe {

at::Tensor layer_norm(const at::Tensor& x_TH, Parameter& weight_H, Parameter& bias_H, double eps);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "parallel/parameter.h"

// The three matrix products of a weight, and the rule for its gradient. Weights are [out, in] as on
// disk: the layout that is fastest forward (a transposed copy is slower).
//
// Shape letters: T tokens, I inputs, O outputs.
namespace lathe {

// The float32 sum that backward adds into. std::logic_error if a trained parameter has none.
at::Tensor& gradient_sum(Parameter& parameter);

// x, in the type that products of it are computed in: float32 for bfloat16 on a CPU without
// bfloat16 instructions, where emulation runs at a quarter of float32's rate; x itself everywhere
// else.
at::Tensor product_operand(const at::Tensor& x);

// x_TI, weight_OI -> [T, O] in x's type. The weight may be product_operand's of it, made once for
// several calls.
at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI);
// The same of several weights.
std::vector<at::Tensor> products(const at::Tensor& x_TI, const std::vector<at::Tensor>& weights_OI);
// Of at most so many tokens each one's numbers are the same bits whatever other tokens stand beside
// it (trainer/kernels/tile_product.h). 0: there is no such number here.
int64_t max_tile_tokens(const at::Tensor& weight_OI);
// dy_TO, weight_OI -> [T, I], the input's gradient, in product_operand's type; with `into_TI`
// defined (an earlier result) the product is added to it in place.
at::Tensor product_back(const at::Tensor& dy_TO, const at::Tensor& weight_OI,
                        at::Tensor into_TI = {});
// grad_OI += dy_TO^T x_TI, summed in float32.
void add_outer(at::Tensor& grad_OI, const at::Tensor& dy_TO, const at::Tensor& x_TI);

}  // namespace lathe

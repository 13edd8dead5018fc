#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/parameter.h"
#include "trainer/kernels/dispatch.h"

// Root mean square norm, y = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019), alone
// and joined with the addition to the residual stream that precedes it. Arithmetic in float32. The
// weight's gradient is summed in a fixed number of partial sums, so it does not depend on the
// number of threads. Shape letters: T tokens, H width.
namespace lathe {

at::Tensor rms_norm(const at::Tensor& x_TH, Parameter& weight_H, double eps,
                    Path path = Path::kBest);

struct AddedAndNormed {
  at::Tensor sum_TH;     // x + delta
  at::Tensor normed_TH;  // rms_norm(sum)
};
AddedAndNormed add_rms_norm(const at::Tensor& x_TH, const at::Tensor& delta_TH, Parameter& weight_H,
                            double eps, Path path = Path::kBest);

}  // namespace lathe

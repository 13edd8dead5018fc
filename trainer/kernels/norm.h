#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/parameter.h"
#include "trainer/kernels/dispatch.h"

// Root mean square norm, y = x / sqrt(mean(x^2) + eps) * (offset + weight) (Zhang and Sennrich
// 2019; the offset of 1 is Gemma's), alone
// and joined with the addition to the residual stream that precedes it. Arithmetic in float32. The
// weight's gradient is summed in a fixed number of partial sums, so it does not depend on the
// number of threads. Shape letters: T tokens, H width.
namespace lathe {

struct RmsNorm {
  double eps, offset = 0;

  RmsNorm(double eps, double offset = 0) : eps(eps), offset(offset) {}
};

at::Tensor rms_norm(const at::Tensor& x_TH, Parameter& weight_H, const RmsNorm& options,
                    Path path = Path::kBest);

struct AddedAndNormed {
  at::Tensor sum_TH;     // x + delta
  at::Tensor normed_TH;  // rms_norm(sum)
};
AddedAndNormed add_rms_norm(const at::Tensor& x_TH, const at::Tensor& delta_TH, Parameter& weight_H,
                            const RmsNorm& options, Path path = Path::kBest);

}  // namespace lathe

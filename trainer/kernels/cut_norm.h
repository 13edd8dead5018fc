#pragma once

#include "parallel/layers.h"
#include "trainer/kernels/norm.h"

namespace lathe {

// rms_norm of rows that are cut over the ranks of tp as the weight is: x_TO and the result are this
// rank's columns. The output's gradient may be a summand where ranks hold the same columns.
at::Tensor cut_rms_norm(const at::Tensor& x_TO, Parameter& weight_O, const RmsNorm& options,
                        const TensorParallel& tp);

}  // namespace lathe

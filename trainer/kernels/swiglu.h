#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/kernels/dispatch.h"

// silu(gate) * up, the gated unit of Shazeer 2020 (arXiv:2002.05202), in one pass. Arithmetic in
// float32.
namespace lathe {

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, Path path = Path::kBest);

}  // namespace lathe

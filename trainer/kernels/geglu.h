#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/kernels/dispatch.h"

// gelu(gate) * up, the gated unit of Shazeer 2020 (arXiv:2002.05202), and gelu(x) alone, with GELU
// in its tanh form (Hendrycks and Gimpel 2016, arXiv:1606.08415), in one pass. Arithmetic in
// float32.
namespace lathe {

at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up, Path path = Path::kBest);
at::Tensor gelu(const at::Tensor& x, Path path = Path::kBest);

}  // namespace lathe

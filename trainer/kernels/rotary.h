#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/kernels/dispatch.h"

// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in Hugging Face's layout: element i
// is turned together with element i + R/2, of the first R elements of a head; the others stay as
// they are. The angles of each token come from a RotaryTable. Shape
// letters: T tokens, N heads, D head size.
namespace lathe {

// x_TND; cos, sin [T, R/2] float32, R <= D -> [T, N, D]
at::Tensor rotary(const at::Tensor& x_TND, const at::Tensor& cos, const at::Tensor& sin,
                  Path path = Path::kBest);

}  // namespace lathe

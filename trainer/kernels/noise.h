#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

// Random numbers of a training step that belong to tokens, not to where the tokens lie: dropout and
// noise come out the same however rows are cut over ranks and micro-batches. Counter-based
// (trainer/philox.h), so backward makes them again. Shape letters: T tokens, I width.
namespace lathe {

// x / (1 - p) where kept, 0 where dropped; each element with probability p (in steps of 2^-16).
// keys_T int64: a number of each token. `stream` tells apart the places where things are dropped.
// It is linear in x, and its own backward. `first`: where x's columns begin in the whole.
at::Tensor drop(const at::Tensor& x_TI, const at::Tensor& keys_T, uint64_t stream, double p,
                int64_t first = 0);

// U(-1, 1) float32, [T, width].
at::Tensor uniform_noise(const at::Tensor& keys_T, uint64_t stream, int64_t width);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/kernels/rows.h"

// Causal attention of sequences that go on: keys and values of what came before lie in blocks of B
// tokens (trainer/kv_cache.h). No gradient. On a CPU with AVX512 what a token gets is the same bits
// whatever else is asked in the call, and whether its sequence comes whole or in pieces.
//
// Shape letters: T tokens, D head size, Q query heads, K key/value heads, L layers, P tokens held.
namespace lathe {

// Of one sequence.
struct CachedKeys {
  std::span<const at::Tensor> blocks;  // [L, 2, K, B, D], with room for the new tokens
  int64_t length;                      // tokens held before
};

// Document d's tokens follow what past[d] holds, and are written behind it; each sees itself and
// what is before it. q [T, Q, D], k and v [T, K, D] -> [T, Q, D]
at::Tensor cached_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                            const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                            const std::vector<CachedKeys>& past, int64_t layer,
                            const Scoring& scoring);

}  // namespace lathe

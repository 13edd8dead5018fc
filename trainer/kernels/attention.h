#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "trainer/kernels/rows.h"

// Causal attention within each document of a flat row: no padding, no mask tensor. Key and value
// heads may be fewer than query heads (each serves Q / K of them, as in Ainslie et al. 2023).
// Scores and softmax in float32.
//
// Shape letters: T tokens, D head size, Q query heads, K key/value heads, P keys held (past and
// new).
namespace lathe {

// q [T, Q, D], k and v [T, K, D]; document d is tokens cu_seqlens[d] .. cu_seqlens[d+1] (empty ones
// are fine) -> [T, Q, D]. float32 and bfloat16; float64 on the CPU; on CUDA float16 and bfloat16.
at::Tensor attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                     const std::vector<int64_t>& cu_seqlens, const Scoring& scoring);

// Keys and values of one sequence, its new tokens' at the end.
struct PastKeys {
  at::Tensor k_PKD, v_PKD;
};

// Document d's tokens are the last of the positions in past[d]; each sees itself and what is before
// it. No gradient.
at::Tensor attention_over_past(const at::Tensor& q_TQD, const std::vector<int64_t>& cu_seqlens,
                               const std::vector<PastKeys>& past, const Scoring& scoring);

// attention() by products and softmax, differentiable, any type and device: the reference in tests.
at::Tensor plain_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                           const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                           const Scoring& scoring);

}  // namespace lathe

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

// The same where documents may go on behind the beginning of another (Batch::shared), whose keys
// and values are read where they lie. Only where can_attend_shared: elsewhere documents are to be
// laid whole.
at::Tensor attention_to_shared(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                               const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                               const std::vector<int64_t>& shared, const Scoring& scoring);
bool can_attend_shared(const at::Tensor& q_TQD);

// The tokens of q are the last of the P positions that keys and values are of; each sees itself and
// what is before it. By products and softmax, any type and device.
at::Tensor attention_over_past(const at::Tensor& q_TQD, const at::Tensor& k_PKD,
                               const at::Tensor& v_PKD, const Scoring& scoring);

// attention() by products and softmax, differentiable, any type and device: the reference in tests.
at::Tensor plain_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                           const at::Tensor& v_TKD, const std::vector<int64_t>& cu_seqlens,
                           const Scoring& scoring);

}  // namespace lathe

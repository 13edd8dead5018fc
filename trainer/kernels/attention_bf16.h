#pragma once

#include <utility>

#include "trainer/kernels/attention_cpu.h"

// cpu_attention() of bfloat16: products of bfloat16 with sums in float32, softmax in float32,
// probabilities and their gradients rounded before they are multiplied again, as the reference
// implementations do. Documents may share beginnings (Batch::shared), whose keys and values are
// then read where they lie; only the row's own tokens ask. A result is the same bits whatever else
// is in the row and however many threads there are. Shape letters: trainer/kernels/attention.h.
namespace lathe {

// Whether q's machine, type and head size are such that it is there.
bool has_bf16_attention(const at::Tensor& q_TQD);

// out [T, Q, D] and log sum exp [Q, T]. All bfloat16 and contiguous.
std::pair<at::Tensor, at::Tensor> bf16_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                                 const at::Tensor& v_TKD,
                                                 const std::vector<int64_t>& cu_seqlens,
                                                 const std::vector<int64_t>& shared,
                                                 const Scoring& scoring);

AttentionGradients bf16_attention_backward(const at::Tensor& dout_TQD, const at::Tensor& q_TQD,
                                           const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                                           const at::Tensor& out_TQD, const at::Tensor& lse_QT,
                                           const std::vector<int64_t>& cu_seqlens,
                                           const std::vector<int64_t>& shared,
                                           const Scoring& scoring);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "trainer/kernels/rows.h"

// Causal attention on a CPU, float32, by blocks of queries: two matrix products forward and five
// backward on the calling thread, the softmax between them in one pass. Threads take (document,
// query head) pairs, so the result does not depend on their number. 2-6 times the speed of ATen's.
// Shape letters: trainer/kernels/attention.h.
namespace lathe {

// Whether the matrix product it is made of is there (MKL's, in libtorch_cpu on x86).
bool has_cpu_attention();

// out [T, Q, D] and log sum exp [Q, T]. All float32 and contiguous.
std::pair<at::Tensor, at::Tensor> cpu_attention(const at::Tensor& q_TQD, const at::Tensor& k_TKD,
                                                const at::Tensor& v_TKD,
                                                const std::vector<int64_t>& cu_seqlens,
                                                const Scoring& scoring);

struct AttentionGradients {
  at::Tensor q_TQD, k_TKD, v_TKD;
};
AttentionGradients cpu_attention_backward(const at::Tensor& dout_TQD, const at::Tensor& q_TQD,
                                          const at::Tensor& k_TKD, const at::Tensor& v_TKD,
                                          const at::Tensor& out_TQD, const at::Tensor& lse_QT,
                                          const std::vector<int64_t>& cu_seqlens,
                                          const Scoring& scoring);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/kernels/logit_loss.h"
#include "trainer/objective/distill_config.h"

// MiniLLM (Gu et al. 2023, arXiv:2306.08543): the reverse KL of whole answers, by policy gradient.
// Answers y are drawn from alpha p + (1 - alpha) q, p the teacher and q the student. Per token,
// with w = q(y) / (alpha p(y) + (1 - alpha) q(y)) and r = log p(y) - log q(y), both held constant,
//   w KL(q || p) - w R log q(y)
// The first part is exact over the vocabulary; R is the return of the tokens that follow,
//   sum over k >= 0 of gamma^k r[t + 1 + k], by length_normalization over sum of gamma^k.
// Without single_step_decomposition there is no first part, and R begins with the token itself.
// N targets, C of them in a chunk, V outcomes.
namespace lathe {

struct PolicyTerms {
  at::Tensor weights_N, returns_N;  // float64
};

// ends: of each answer's targets, behind the last.
PolicyTerms policy_terms(const at::Tensor& log_p_N, const at::Tensor& log_q_N,
                         const std::vector<int64_t>& ends, const DistillConfig& config);

// reverse_kl: of these rows, with its gradient if that is asked for here.
ChunkLoss policy_loss_of_rows(const at::Tensor& student_CV, const ChunkLoss& reverse_kl,
                              const at::Tensor& targets_C, const PolicyTerms& terms_C,
                              const DistillConfig& config, bool with_gradient);

}  // namespace lathe

#include "trainer/objective/minillm.h"

#include <ATen/ATen.h>

namespace lathe {
namespace {

// Of one answer's rewards [begin, end): into returns, from the last token on.
void add_returns(const double* rewards, int64_t begin, int64_t end, const DistillConfig& c,
                 double* returns) {
  double sum = 0, length = 0;
  const auto value = [&] { return length == 0 ? 0 : c.length_normalization ? sum / length : sum; };
  for (int64_t t = end - 1; t >= begin; --t) {
    if (c.single_step_decomposition) returns[t] = value();
    sum = rewards[t] + c.gamma * sum;
    length = 1 + c.gamma * length;
    if (!c.single_step_decomposition) returns[t] = value();
  }
}

}  // namespace

PolicyTerms policy_terms(const at::Tensor& log_p_N, const at::Tensor& log_q_N,
                         const std::vector<int64_t>& ends, const DistillConfig& config) {
  const at::Tensor rewards_N = (log_p_N.to(at::kDouble) - log_q_N.to(at::kDouble)).cpu();
  at::Tensor returns_N = at::zeros_like(rewards_N);
  int64_t begin = 0;
  for (const int64_t end : ends) {
    add_returns(rewards_N.const_data_ptr<double>(), begin, end, config,
                returns_N.mutable_data_ptr<double>());
    begin = end;
  }
  const double alpha = config.teacher_mixed_alpha;
  const at::Tensor weights_N = 1 / (alpha * rewards_N.exp() + (1 - alpha));
  return {weights_N.to(log_q_N.device()), returns_N.to(log_q_N.device())};
}

ChunkLoss policy_loss_of_rows(const at::Tensor& student_CV, const ChunkLoss& reverse_kl,
                              const at::Tensor& targets_C, const PolicyTerms& terms_C,
                              const DistillConfig& config, bool with_gradient) {
  const at::Tensor log_q_CV = student_CV.log_softmax(1), targets_C1 = targets_C.unsqueeze(1);
  const at::Tensor w_C = terms_C.weights_N.to(log_q_CV.scalar_type()),
                   push_C = w_C * terms_C.returns_N.to(log_q_CV.scalar_type());
  at::Tensor losses_C = -push_C * log_q_CV.gather(1, targets_C1).squeeze(1), dlogits_CV;
  if (with_gradient) {
    dlogits_CV = log_q_CV.exp() * push_C.unsqueeze(1);
    dlogits_CV.scatter_add_(1, targets_C1, -push_C.unsqueeze(1));
  }
  if (!config.single_step_decomposition) return {losses_C, dlogits_CV};
  if (with_gradient) dlogits_CV.addcmul_(reverse_kl.dlogits_CV, w_C.unsqueeze(1));
  return {losses_C + w_C * reverse_kl.losses_C, dlogits_CV};
}

}  // namespace lathe

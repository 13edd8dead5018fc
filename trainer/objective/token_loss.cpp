#include <ATen/ATen.h>

#include "trainer/objective/objective.h"

namespace lathe {
namespace {

at::Tensor weighted_sum(const at::Tensor& losses_N, const at::Tensor& weights_N) {
  // In float64, as cross_entropy does: the order of additions does not depend on threads.
  return at::dot(losses_N.to(at::kDouble), weights_N.to(at::kDouble));
}

}  // namespace

Objective token_loss(const LossConfig& config) {
  if (config.loss_type == "nll" && config.label_smoothing_factor == 0 && config.z_loss == 0)
    return cross_entropy;
  return [config](Model& model, const Batch& batch) -> LossSum {
    const at::Tensor hidden_TH = model.hidden(batch);
    const at::Tensor chosen_N = (batch.targets != kIgnore).nonzero().squeeze(1);
    const TokenStatistics s = model.token_statistics(hidden_TH.index_select(0, chosen_N),
                                                     batch.targets.index_select(0, chosen_N));
    at::Tensor losses_N = -s.log_probs;
    if (config.loss_type == "dft") losses_N = losses_N * s.log_probs.detach().exp();
    const double smooth = config.label_smoothing_factor;
    if (smooth > 0) losses_N = (1 - smooth) * losses_N + smooth * (s.log_z - s.mean_logit);
    if (config.z_loss > 0) losses_N = losses_N + config.z_loss * s.log_z.square();
    return with_auxiliary_loss(weighted_sum(losses_N, batch.weights.index_select(0, chosen_N)),
                               model, batch);
  };
}

}  // namespace lathe

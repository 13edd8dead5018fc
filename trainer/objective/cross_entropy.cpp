#include "trainer/objective/objective.h"

namespace lathe {

LossSum with_auxiliary_loss(at::Tensor sum, Model& model, const Batch& batch) {
  const at::Tensor auxiliary = model.take_auxiliary_loss();
  // As part of a mean, it counts once for every target.
  if (auxiliary.defined()) sum = sum + auxiliary * static_cast<double>(batch.num_targets);
  return {sum.to(at::kFloat), batch.num_targets};
}

LossSum cross_entropy(Model& model, const Batch& batch) {
  const at::Tensor hidden_TH = model.hidden(batch);
  const at::Tensor chosen_N = (batch.targets != kIgnore).nonzero().squeeze(1);
  const at::Tensor log_probs_N =
      model.log_probs(hidden_TH.index_select(0, chosen_N), batch.targets.index_select(0, chosen_N));
  // A dot product in float64: its order of additions does not depend on the number of threads, as
  // at::sum's does.
  const at::Tensor weights_N = batch.weights.index_select(0, chosen_N);
  return with_auxiliary_loss(-at::dot(log_probs_N.to(at::kDouble), weights_N.to(at::kDouble)),
                             model, batch);
}

}  // namespace lathe

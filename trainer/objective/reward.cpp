#include "trainer/objective/reward.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace lathe {

at::Tensor reward_losses(const at::Tensor& chosen_P, const at::Tensor& rejected_P,
                         const at::Tensor& margin_P, const RewardConfig& config) {
  const at::Tensor losses_P = -at::log_sigmoid(chosen_P - rejected_P - margin_P);
  if (config.center_rewards_coefficient == 0) return losses_P;
  return losses_P + config.center_rewards_coefficient * (chosen_P + rejected_P).square();
}

LossSum RewardLoss::operator()(const Batch& batch) {
  const at::Tensor scores_P2 =
      model_.scores(batch).to(at::kDouble).unflatten(0, {std::ssize(batch.cu_seqlens) / 2, 2});
  const at::Tensor chosen_P = scores_P2.select(1, 0), rejected_P = scores_P2.select(1, 1);
  const at::Tensor losses_P =
      reward_losses(chosen_P, rejected_P, at::full_like(chosen_P, config_.margin), config_);
  const at::Tensor c = chosen_P.detach(), r = rejected_P.detach();
  const at::Tensor sums = at::stack(
      {at::ones_like(c).sum(), (c > r).to(at::kDouble).sum(), (c - r).sum(), c.sum(), r.sum()});
  at::Tensor& all = sums_[at::GradMode::is_enabled() ? 0 : 1];
  all = all.defined() ? all + sums : sums;
  return with_auxiliary_loss(losses_P.sum(), model_, batch);
}

MetricRow RewardLoss::take_metrics(Group& group, bool evaluation) {
  at::Tensor& all = sums_[evaluation ? 1 : 0];
  at::Tensor sums = all.defined() ? all : at::zeros({5}, at::kDouble).to(group.device());
  group.all_reduce(sums, Reduce::kSum);
  all = at::Tensor();
  sums = sums.cpu();
  const double pairs = std::max(1.0, sums[0].item<double>());
  const auto mean = [&](int64_t i) { return sums[i].item<double>() / pairs; };
  const std::string prefix = evaluation ? "eval_" : "";
  return {{prefix + "accuracy", mean(1)},
          {prefix + "margin", mean(2)},
          {prefix + "mean_reward", (mean(3) + mean(4)) / 2},
          {prefix + "rewards/chosen", mean(3)},
          {prefix + "rewards/rejected", mean(4)}};
}

}  // namespace lathe

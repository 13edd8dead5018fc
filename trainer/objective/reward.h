#pragma once

#include "parallel/group.h"
#include "trainer/config.h"
#include "trainer/console.h"
#include "trainer/objective/objective.h"
#include "trainer/scored_model.h"

// The loss of a reward model on pairs (Bradley-Terry), per pair:
//   -log sigmoid(chosen - rejected - margin) + c (chosen + rejected)^2
namespace lathe {

struct RewardConfig {
  double margin = 0;
  double center_rewards_coefficient = 0;
};

template <class V>
void fields(V& v, RewardConfig& c) {
  v("margin", c.margin, "by how much the chosen answer's score should lead", at_least(0));
  v("center_rewards_coefficient", c.center_rewards_coefficient,
    "c of c (chosen + rejected)^2, which keeps scores around 0", at_least(0));
}

// [P] float64 from scores [P].
at::Tensor reward_losses(const at::Tensor& chosen_P, const at::Tensor& rejected_P,
                         const at::Tensor& margin_P, const RewardConfig& config);

class RewardLoss {
 public:
  RewardLoss(RewardConfig config, ScoredModel& model) : config_(config), model_(model) {}
  // The batch holds pairs: document 2p is chosen, 2p + 1 rejected.
  LossSum operator()(const Batch& batch);
  // Means over the pairs since the last call with TRL's names; every rank calls it.
  MetricRow take_metrics(Group& group, bool evaluation);

 private:
  RewardConfig config_;
  ScoredModel& model_;
  at::Tensor sums_[2];
};

}  // namespace lathe

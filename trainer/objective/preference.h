#pragma once

#include <string>
#include <vector>

#include "parallel/group.h"
#include "trainer/console.h"
#include "trainer/objective/objective.h"
#include "trainer/objective/preference_config.h"
#include "trainer/objective/preference_losses.h"

// The loss of a batch of preferences: the policy's log-probabilities of whole answers against the
// reference's, in the losses that the config names. The mean over a step's items, so that it does
// not matter how the step is cut. P items, D documents.
namespace lathe {

// Log-probabilities of the documents of a batch.
struct SequenceLogProbs {
  at::Tensor sums_D;     // [D] float64: of all trained tokens
  at::Tensor counted_D;  // [D]: LD-DPO: those beyond the shorter answer's length count ld_alpha
  at::Tensor lengths_D;  // [D] float64: trained tokens
  at::Tensor weights_D;  // [D]: WPO: mean of log p(token) - log sum p^2; undefined if not asked for
};
SequenceLogProbs sequence_log_probs(Model& model, const Batch& batch, double ld_alpha = 1,
                                    bool weighting = false);

class PreferenceLoss {
 public:
  explicit PreferenceLoss(PreferenceConfig config);
  LossSum operator()(Model& model, const Batch& batch);
  // Means over the items since the last call with TRL's names; every rank calls it. evaluation:
  // those of calls without gradients.
  MetricRow take_metrics(Group& group, bool evaluation);
  // The loss where policy and reference agree, summed over the losses that have a value of their
  // own there; and whether all of them have.
  double at_start() const;
  bool has_start() const;
  bool is_unpaired() const { return unpaired_; }
  bool needs_kl() const;
  bool needs_reference() const;
  const PreferenceConfig& config() const { return config_; }

 private:
  at::Tensor pair_losses(const Batch& batch, const SequenceLogProbs& policy, at::Tensor& sums);
  at::Tensor answer_losses(const Batch& batch, const SequenceLogProbs& policy, at::Tensor& sums);

  PreferenceConfig config_;
  std::vector<double> weights_;
  bool unpaired_ = false;
  at::Tensor sums_[2];  // of what take_metrics divides: training, evaluation
};

}  // namespace lathe

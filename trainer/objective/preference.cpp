#include "trainer/objective/preference.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace lathe {
namespace {

// What take_metrics divides, in this order.
enum Sum {
  kItems,
  kGood,
  kBad,
  kGoodReward,
  kBadReward,
  kGoodLogp,
  kBadLogp,
  kRight,
  kKl,
  kNumSums
};

std::vector<double> parse_weights(const PreferenceConfig& config) {
  if (config.loss_weights.empty()) return std::vector<double>(config.loss_type.size(), 1.0);
  std::vector<double> weights;
  for (const std::string& text : config.loss_weights) {
    size_t used = 0;
    try {
      weights.push_back(std::stod(text, &used));
    } catch (const std::exception&) {
    }
    if (used != text.size() || text.empty())
      throw std::invalid_argument(
          fmt::format("dpo.loss_weights: found `{}`, expected a number", text));
  }
  return weights;
}

// The document of each position.
at::Tensor documents_of(const Batch& batch) {
  const at::Tensor ends = at::tensor(batch.cu_seqlens, at::kLong);
  const at::Tensor lengths = ends.slice(0, 1) - ends.slice(0, 0, -1);
  return at::repeat_interleave(lengths).to(batch.tokens.device());
}

at::Tensor sum_by(const at::Tensor& index, const at::Tensor& values, int64_t size) {
  return at::zeros({size}, values.options()).index_add(0, index, values);
}

// 1 for the tokens within the length of the pair's shorter answer, else alpha.
at::Tensor length_weights(const at::Tensor& document_N, const at::Tensor& lengths_D, double alpha) {
  const at::Tensor begin_D = lengths_D.cumsum(0) - lengths_D;
  const at::Tensor place_N =
      at::arange(document_N.numel(), lengths_D.options()) - begin_D.index_select(0, document_N);
  const at::Tensor shorter_D = lengths_D.view({-1, 2}).amin(1).repeat_interleave(2);
  const at::Tensor within_N = place_N < shorter_D.index_select(0, document_N);
  return within_N.to(at::kDouble) * (1 - alpha) + alpha;
}

// log sum over the vocabulary of p^2, a few rows at a time.
at::Tensor log_collision(Model& model, const at::Tensor& hidden_NH) {
  constexpr int64_t kRows = 256;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts{at::zeros({0}, hidden_NH.options().dtype(at::kDouble))};
  for (int64_t n = 0; n < hidden_NH.size(0); n += kRows) {
    const at::Tensor rows = hidden_NH.slice(0, n, std::min(n + kRows, hidden_NH.size(0)));
    parts.push_back((2 * model.logits(rows).log_softmax(1)).logsumexp(1).to(at::kDouble));
  }
  return at::cat(parts);
}

at::Tensor even(const at::Tensor& x_D) { return x_D.view({-1, 2}).select(1, 0); }
at::Tensor odd(const at::Tensor& x_D) { return x_D.view({-1, 2}).select(1, 1); }

}  // namespace

SequenceLogProbs sequence_log_probs(Model& model, const Batch& batch, double ld_alpha,
                                    bool weighting) {
  const at::Tensor hidden_TH = model.hidden(batch);
  const at::Tensor chosen_N = (batch.targets != kIgnore).nonzero().squeeze(1);
  const at::Tensor hidden_NH = hidden_TH.index_select(0, chosen_N);
  const at::Tensor log_probs_N =
      model.log_probs(hidden_NH, batch.targets.index_select(0, chosen_N)).to(at::kDouble);
  const at::Tensor document_N = documents_of(batch).index_select(0, chosen_N);
  const auto documents = static_cast<int64_t>(batch.cu_seqlens.size()) - 1;
  SequenceLogProbs result;
  result.sums_D = sum_by(document_N, log_probs_N, documents);
  result.lengths_D = sum_by(document_N, at::ones_like(log_probs_N.detach()), documents);
  result.counted_D = result.sums_D;
  if (ld_alpha != 1) {
    const at::Tensor weights_N = length_weights(document_N, result.lengths_D, ld_alpha);
    result.counted_D = sum_by(document_N, log_probs_N * weights_N, documents);
  }
  if (weighting) {
    const at::Tensor aligned_N = log_probs_N.detach() - log_collision(model, hidden_NH.detach());
    result.weights_D = sum_by(document_N, aligned_N, documents) / result.lengths_D;
  }
  return result;
}

PreferenceLoss::PreferenceLoss(PreferenceConfig config)
    : config_(std::move(config)), weights_(parse_weights(config_)) {
  for (const std::string& name : config_.loss_type)
    unpaired_ |= preference_loss(name).answers != nullptr;
}

bool PreferenceLoss::needs_kl() const {
  return std::count(config_.loss_type.begin(), config_.loss_type.end(), "kto") > 0;
}

bool PreferenceLoss::needs_reference() const {
  return !config_.reference_free &&
         std::any_of(config_.loss_type.begin(), config_.loss_type.end(),
                     [](const std::string& name) { return preference_loss(name).reference; });
}

bool PreferenceLoss::has_start() const {
  if (unpaired_ && config_.desirable_weight != config_.undesirable_weight) return false;
  return std::all_of(config_.loss_type.begin(), config_.loss_type.end(),
                     [](const std::string& name) { return preference_loss(name).at_start; });
}

double PreferenceLoss::at_start() const {
  double sum = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const PreferenceLossEntry& entry = preference_loss(config_.loss_type[i]);
    if (entry.at_start) sum += weights_[i] * entry.at_start(config_);
  }
  return sum;
}

at::Tensor PreferenceLoss::pair_losses(const Batch& batch, const SequenceLogProbs& policy,
                                       at::Tensor& sums) {
  const at::Tensor& reference = batch.preferences.reference_D;
  const at::Tensor ref_D =
      reference.defined() ? reference : at::zeros_like(policy.counted_D.detach());
  const PairTerms terms{.chosen_P = even(policy.counted_D),
                        .rejected_P = odd(policy.counted_D),
                        .ref_chosen_P = even(ref_D),
                        .ref_rejected_P = odd(ref_D),
                        .chosen_length_P = even(policy.lengths_D),
                        .rejected_length_P = odd(policy.lengths_D),
                        .chosen_nll_P = -even(policy.sums_D),
                        .chosen_tokens = batch.preferences.chosen_tokens};
  at::Tensor losses_P;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor each =
        weights_[i] * preference_loss(config_.loss_type[i]).pairs(terms, config_);
    losses_P = losses_P.defined() ? losses_P + each : each;
  }
  if (policy.weights_D.defined())
    losses_P = losses_P * (even(policy.weights_D) + odd(policy.weights_D)).exp().clamp_max(1);
  const at::Tensor w = config_.beta * (terms.chosen_P - terms.ref_chosen_P).detach(),
                   l = config_.beta * (terms.rejected_P - terms.ref_rejected_P).detach();
  const auto items = static_cast<double>(w.numel());
  sums[kGood] = sums[kBad] = items;
  sums[kGoodReward] = w.sum();
  sums[kBadReward] = l.sum();
  sums[kGoodLogp] = terms.chosen_P.detach().sum();
  sums[kBadLogp] = terms.rejected_P.detach().sum();
  sums[kRight] = (w > l).sum();
  return losses_P;
}

at::Tensor PreferenceLoss::answer_losses(const Batch& batch, const SequenceLogProbs& policy,
                                         at::Tensor& sums) {
  const at::Tensor& reference = batch.preferences.reference_D;
  const at::Tensor sums_P = policy.sums_D;
  const AnswerTerms terms{
      .policy_P = sums_P,
      .ref_P = reference.defined() ? reference : at::zeros_like(sums_P.detach()),
      .good_P = at::tensor(batch.preferences.labels, at::kFloat).to(sums_P.device()) > 0.5,
      .kl = batch.preferences.kl};
  at::Tensor losses_P;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor each =
        weights_[i] * preference_loss(config_.loss_type[i]).answers(terms, config_);
    losses_P = losses_P.defined() ? losses_P + each : each;
  }
  const at::Tensor good = terms.good_P.to(at::kDouble), bad = 1 - good, logps = sums_P.detach(),
                   rewards = config_.beta * (logps - terms.ref_P);
  sums[kGood] = good.sum();
  sums[kBad] = bad.sum();
  sums[kGoodReward] = (good * rewards).sum();
  sums[kBadReward] = (bad * rewards).sum();
  sums[kGoodLogp] = (good * logps).sum();
  sums[kBadLogp] = (bad * logps).sum();
  sums[kKl] = terms.kl * static_cast<double>(logps.numel());
  return losses_P;
}

LossSum PreferenceLoss::operator()(Model& model, const Batch& batch) {
  const SequenceLogProbs policy =
      sequence_log_probs(model, batch, config_.ld_alpha, config_.use_weighting);
  at::Tensor sums = at::zeros({kNumSums}, policy.lengths_D.options());
  sums[kItems] = static_cast<double>(batch.num_targets);
  const at::Tensor losses_P =
      unpaired_ ? answer_losses(batch, policy, sums) : pair_losses(batch, policy, sums);
  at::Tensor& all = sums_[at::GradMode::is_enabled() ? 0 : 1];
  all = all.defined() ? all + sums : sums;
  return with_auxiliary_loss(losses_P.sum(), model, batch);
}

MetricRow PreferenceLoss::take_metrics(Group& group, bool evaluation) {
  at::Tensor& all = sums_[evaluation ? 1 : 0];
  at::Tensor sums = all.defined() ? all : at::zeros({kNumSums}, at::kDouble).to(group.device());
  group.all_reduce(sums, Reduce::kSum);
  all = at::Tensor();
  sums = sums.cpu();
  const auto ratio = [&](Sum of, Sum by) {
    return sums[of].item<double>() / std::max(1.0, sums[by].item<double>());
  };
  const double chosen = ratio(kGoodReward, kGood), rejected = ratio(kBadReward, kBad);
  MetricRow row{{"rewards/chosen", chosen}, {"rewards/rejected", rejected}};
  if (!unpaired_) row.emplace_back("rewards/accuracies", ratio(kRight, kItems));
  row.emplace_back("rewards/margins", chosen - rejected);
  row.emplace_back("logps/chosen", ratio(kGoodLogp, kGood));
  row.emplace_back("logps/rejected", ratio(kBadLogp, kBad));
  if (needs_kl()) row.emplace_back("kl", ratio(kKl, kItems));
  if (!evaluation) return row;
  for (auto& [name, value] : row) name = "eval_" + name;
  return row;
}

}  // namespace lathe

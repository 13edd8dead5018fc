#include "trainer/objective/preference_losses.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace lathe {
namespace {

using C = PreferenceConfig;
using P = PairTerms;
using at::log_sigmoid;
using at::sigmoid;

const double kLn2 = std::log(2.0);

at::Tensor chosen_ratio(const P& p) { return p.chosen_P - p.ref_chosen_P; }
at::Tensor rejected_ratio(const P& p) { return p.rejected_P - p.ref_rejected_P; }

// log(pi / pi_ref) through the slope of the divergence, constants dropped (arXiv:2309.16240).
at::Tensor score(const at::Tensor& ratio, const C& c) {
  if (c.f_divergence_type == "forward_kl") return -(-ratio).exp();
  if (c.f_divergence_type == "js_divergence") return log_sigmoid(ratio);
  if (c.f_divergence_type == "alpha_divergence") {
    const double a = c.f_alpha_divergence_coef - 1;
    return std::abs(a) < 1e-6 ? ratio : (a * ratio).exp() / a;
  }
  return ratio;
}

// beta times the difference of the scores: the logit that the chosen answer is better.
at::Tensor logit(const P& p, const C& c) {
  return c.beta * (score(chosen_ratio(p), c) - score(rejected_ratio(p), c));
}

at::Tensor chosen_mean(const P& p) { return p.chosen_P / p.chosen_length_P; }
at::Tensor rejected_mean(const P& p) { return p.rejected_P / p.rejected_length_P; }

at::Tensor sigmoid_loss(const P& p, const C& c) { return -log_sigmoid(logit(p, c)); }

at::Tensor conservative(const P& p, const C& c) {
  const at::Tensor z = logit(p, c);
  return -(1 - c.label_smoothing) * log_sigmoid(z) - c.label_smoothing * log_sigmoid(-z);
}

at::Tensor robust(const P& p, const C& c) {
  const at::Tensor z = logit(p, c);
  const double e = c.label_smoothing;
  return (-(1 - e) * log_sigmoid(z) + e * log_sigmoid(-z)) / (1 - 2 * e);
}

at::Tensor hinge(const P& p, const C& c) { return (1 - logit(p, c)).relu(); }

at::Tensor ipo(const P& p, const C& c) {
  const at::Tensor gap =
      chosen_ratio(p) / p.chosen_length_P - rejected_ratio(p) / p.rejected_length_P;
  return (gap - 1 / (2 * c.beta)).square();
}

at::Tensor ipo_sum(const P& p, const C& c) {
  return (chosen_ratio(p) - rejected_ratio(p) - 1 / (2 * c.beta)).square();
}

at::Tensor sigmoid_norm(const P& p, const C& c) {
  return -log_sigmoid(
      c.beta * (chosen_ratio(p) / p.chosen_length_P - rejected_ratio(p) / p.rejected_length_P));
}

at::Tensor exo_pair(const P& p, const C& c) {
  const at::Tensor z = logit(p, c);
  const double e = c.label_smoothing;
  return sigmoid(z) * (log_sigmoid(z) - std::log1p(-e)) +
         sigmoid(-z) * (log_sigmoid(-z) - std::log(e));
}

at::Tensor nca_pair(const P& p, const C& c) {
  const at::Tensor w = c.beta * chosen_ratio(p), l = c.beta * rejected_ratio(p);
  return -log_sigmoid(w) - 0.5 * log_sigmoid(-w) - 0.5 * log_sigmoid(-l);
}

at::Tensor bco_pair(const P& p, const C& c) {
  return -log_sigmoid(c.beta * chosen_ratio(p)) - log_sigmoid(-c.beta * rejected_ratio(p));
}

at::Tensor sppo_hard(const P& p, const C& c) {
  return (chosen_ratio(p) - 0.5 / c.beta).square() + (rejected_ratio(p) + 0.5 / c.beta).square();
}

at::Tensor apo_zero(const P& p, const C& c) {
  return 1 - sigmoid(c.beta * chosen_ratio(p)) + sigmoid(c.beta * rejected_ratio(p));
}

at::Tensor apo_down(const P& p, const C& c) {
  const at::Tensor w = chosen_ratio(p);
  return sigmoid(c.beta * w) + 1 - sigmoid(c.beta * (w - rejected_ratio(p)));
}

at::Tensor discopop(const P& p, const C& c) {
  const at::Tensor z = logit(p, c), share = sigmoid(z / c.discopop_tau);
  return -log_sigmoid(z) * (1 - share) + (-z).exp() * share;
}

at::Tensor irpo(const P& p, const C& c) {
  return sigmoid_loss(p, c) + c.rpo_alpha * p.chosen_nll_P / p.chosen_length_P;
}

// Its mean over the step's pairs is the mean over the step's chosen tokens.
at::Tensor sft(const P& p, const C&) { return p.chosen_nll_P / p.chosen_tokens; }

at::Tensor simpo(const P& p, const C& c) {
  return -log_sigmoid(c.beta * (chosen_mean(p) - rejected_mean(p)) - c.simpo_gamma);
}

at::Tensor cpo(const P& p, const C& c) {
  return -log_sigmoid(c.beta * (p.chosen_P - p.rejected_P));
}

at::Tensor cpo_hinge(const P& p, const C& c) {
  return (1 - c.beta * (p.chosen_P - p.rejected_P)).relu();
}

// log(p / (1 - p)) of the mean log-probability; one that is certain has no odds: kept below 1.
at::Tensor log_odds(const at::Tensor& mean) {
  const at::Tensor below = mean.clamp_max(-1e-12);
  return below - (-below.expm1()).log();
}

at::Tensor orpo(const P& p, const C& c) {
  return -c.beta * log_sigmoid(log_odds(chosen_mean(p)) - log_odds(rejected_mean(p)));
}

at::Tensor weighted(const at::Tensor& good, const at::Tensor& bad, const AnswerTerms& a,
                    const C& c) {
  return at::where(a.good_P, c.desirable_weight * good, c.undesirable_weight * bad);
}

at::Tensor kto(const AnswerTerms& a, const C& c) {
  const at::Tensor z = c.beta * (a.policy_P - a.ref_P - a.kl);
  return weighted(1 - sigmoid(z), 1 - sigmoid(-z), a, c);
}

at::Tensor apo_zero_unpaired(const AnswerTerms& a, const C& c) {
  const at::Tensor z = c.beta * (a.policy_P - a.ref_P);
  return weighted(1 - sigmoid(z), sigmoid(z), a, c);
}

double ln2(const C&) { return kLn2; }
double two_ln2(const C&) { return 2 * kLn2; }
double one(const C&) { return 1; }
// Of single answers, where good and bad ones weigh the same.
double half(const C& c) { return c.desirable_weight / 2; }
double ipo_start(const C& c) { return 1 / (4 * c.beta * c.beta); }
double sppo_start(const C& c) { return 1 / (2 * c.beta * c.beta); }
double exo_start(const C& c) {
  const double e = c.label_smoothing;
  return -kLn2 - 0.5 * (std::log1p(-e) + std::log(e));
}
double discopop_start(const C&) { return 0.5 * kLn2 + 0.5; }

}  // namespace

const std::vector<PreferenceLossEntry>& preference_losses() {
  static const std::vector<PreferenceLossEntry> table{
      {"sigmoid", true, sigmoid_loss, nullptr, ln2},
      {"conservative", true, conservative, nullptr, ln2},
      {"robust", true, robust, nullptr, ln2},
      {"hinge", true, hinge, nullptr, one},
      {"ipo", true, ipo, nullptr, ipo_start},
      {"ipo_sum", true, ipo_sum, nullptr, ipo_start},
      {"sigmoid_norm", true, sigmoid_norm, nullptr, ln2},
      {"exo_pair", true, exo_pair, nullptr, exo_start},
      {"nca_pair", true, nca_pair, nullptr, two_ln2},
      {"bco_pair", true, bco_pair, nullptr, two_ln2},
      {"sppo_hard", true, sppo_hard, nullptr, sppo_start},
      {"apo_zero", true, apo_zero, nullptr, one},
      {"apo_down", true, apo_down, nullptr, one},
      {"discopop", true, discopop, nullptr, discopop_start},
      {"irpo", true, irpo, nullptr, nullptr},
      {"sft", false, sft, nullptr, nullptr},
      {"simpo", false, simpo, nullptr, nullptr},
      {"cpo", false, cpo, nullptr, nullptr},
      {"cpo_hinge", false, cpo_hinge, nullptr, nullptr},
      {"orpo", false, orpo, nullptr, nullptr},
      {"kto", true, nullptr, kto, half},
      {"apo_zero_unpaired", true, nullptr, apo_zero_unpaired, half},
  };
  return table;
}

const PreferenceLossEntry& preference_loss(std::string_view name) {
  std::vector<std::string_view> names;
  for (const PreferenceLossEntry& entry : preference_losses()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw std::invalid_argument(
      fmt::format("dpo.loss_type: found `{}`, expected of {}", name, fmt::join(names, ", ")));
}

std::vector<Conflict> conflicts(const PreferenceConfig& config) {
  std::vector<Conflict> found;
  const auto& names = config.loss_type;
  bool pairs = false, answers = false, smoothed = false;
  for (const std::string& name : names) {
    try {
      (preference_loss(name).pairs ? pairs : answers) = true;
    } catch (const std::invalid_argument& error) {
      found.push_back({{"loss_type"}, error.what()});
    }
    smoothed |= name == "conservative" || name == "robust" || name == "exo_pair";
    if (name == "exo_pair" && config.label_smoothing == 0)
      found.push_back({{"loss_type", "label_smoothing"}, "exo_pair needs label_smoothing above 0"});
    if (name == "robust" && config.label_smoothing >= 0.5)
      found.push_back({{"loss_type", "label_smoothing"}, "robust needs label_smoothing below 0.5"});
  }
  if (names.empty()) found.push_back({{"loss_type"}, "is empty; name a loss"});
  if (pairs && answers)
    found.push_back({{"loss_type"}, "losses of pairs and of single answers do not go together"});
  if (config.label_smoothing > 0 && !smoothed)
    found.push_back({{"label_smoothing"}, "is read by conservative, robust and exo_pair only"});
  if (config.sync_ref_model && config.reference_free)
    found.push_back({{"sync_ref_model", "reference_free"}, "there is no reference to follow"});
  if (!config.loss_weights.empty() && config.loss_weights.size() != names.size())
    found.push_back({{"loss_weights", "loss_type"}, "expected a weight for each loss"});
  return found;
}

}  // namespace lathe

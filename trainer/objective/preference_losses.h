#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <vector>

#include "trainer/objective/preference_config.h"

// The losses of preferences, each by its formula, per item, in float64. P items.
namespace lathe {

// What the losses of pairs are made of. Log-probabilities are sums over the answer's tokens.
struct PairTerms {
  at::Tensor chosen_P, rejected_P;                // policy, differentiable
  at::Tensor ref_chosen_P, ref_rejected_P;        // reference; 0 where there is none
  at::Tensor chosen_length_P, rejected_length_P;  // tokens
  at::Tensor chosen_nll_P;   // sum over all tokens of the chosen answer, whatever ld_alpha says
  double chosen_tokens = 0;  // of the whole step, for each of its pairs
};

// And those of answers that are judged one by one.
struct AnswerTerms {
  at::Tensor policy_P, ref_P;
  at::Tensor good_P;  // bool
  double kl = 0;
};

struct PreferenceLossEntry {
  std::string_view name;
  bool reference;  // whether it asks for the reference
  at::Tensor (*pairs)(const PairTerms&, const PreferenceConfig&);      // [P], or null
  at::Tensor (*answers)(const AnswerTerms&, const PreferenceConfig&);  // [P], or null
  // Its value where policy and reference agree; null: depends on the policy.
  double (*at_start)(const PreferenceConfig&);
};

const std::vector<PreferenceLossEntry>& preference_losses();
const PreferenceLossEntry& preference_loss(std::string_view name);

}  // namespace lathe

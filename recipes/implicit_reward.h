#pragma once

#include <optional>
#include <vector>

#include "recipes/stage_lines.h"

// Answers ranked by the model's own likelihood of them, without a judge (CREAM, arXiv:2410.12735).
namespace lathe {

// c = (tau + 1) / 2, with Kendall's tau between two models' rewards of the same answers: 1 where
// they rank them alike, 0 where one ranks them in reverse. None where a model ranks nothing.
std::optional<double> consistency_of(const std::vector<double>& current,
                                     const std::vector<double>& previous);

// {"id", "scores", "failures": 0}, with self_reward.consistency also "consistency": of the prompt,
// or null. The score of an answer is log p(answer) - log p_reference(answer), sums over its tokens
// as training reads them; of a model without a reference, or that is the reference, log p(answer)
// over the number of tokens. Every rank calls it.
JsonLines implicit_rewards(const StageContext& context, const JsonLines& prompts,
                           const JsonLines& answers);

// How far pairs are trusted: the mean over prompts. None without self_reward.consistency.
std::optional<double> mean_consistency(const JsonLines& scores);

}  // namespace lathe

#pragma once

#include <string>

#include "recipes/stage_lines.h"

// What an iteration knows of itself only when its model is trained. Every rank calls these; ranks
// share the work, and every rank gets the same.
namespace lathe {

// How far models are from one another on what was sampled, and how training moved its pairs. Sums
// over an answer's tokens, natural log, at temperature 1:
//   kl_to_start      mean over the sampled answers of log p(answer) - log p_start(answer): p is the
//                    model that the iteration starts from, which said them, p_start the run's first
//   kl_of_training   the same of log p(answer) - log p_trained(answer)
// Both estimate KL(p || other) without bias where answers were sampled with temperature 1 and top_p
// 1; elsewhere they are the same mean over what was said. With _per_token: over all their tokens.
//   logps_chosen_before, _after, logps_rejected_before, _after: means over the pairs that are
//                    trained on, under p and p_trained.
Line log_prob_facts(const StageContext& context, const JsonLines& prompts, const JsonLines& answers,
                    const JsonLines& pairs, const std::string& start_folder,
                    const std::string& trained_folder);

// The scorer of the config, with this model as judge, against the human rankings of
// self_reward.judge_eval: the measures of judge_agreement.
Line agreement_facts(StageContext context, const std::string& model_folder);

}  // namespace lathe

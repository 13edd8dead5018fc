#pragma once

#include <string>

#include "recipes/stage_lines.h"

// SCORE: what the answers of an iteration are worth, by the scorer of the config.
namespace lathe {

// What a judge is asked. std::invalid_argument unless it has a place for {prompt} and one for
// {response}, or, for a pairwise judge, {response_a} and {response_b}.
std::string read_rubric(const SelfRewardConfig& config);

// {"id", "scores": [number or null], "failures"}: failures counts judgments that could not be read.
// A pairwise judge adds "comparisons", those that could be read in both orders, and of them
// "consistent", where both orders name the same answer, and "first_wins", which counts 0 to 2 for
// each: first_wins / (2 comparisons) is 0.5 without position bias. Every rank calls it.
JsonLines score_answers(const StageContext& context, const JsonLines& prompts,
                        const JsonLines& answers);

}  // namespace lathe

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "recipes/self_reward_config.h"

// What an answer is worth.
namespace lathe {

// 1 or 0: whether the answer agrees with the expected one. None where the
// expected one has nothing to agree with.
std::optional<double> verify(const std::string& answer, const std::string& expected,
                             const SelfRewardConfig& config);

// The points of a judgment: the last match of the pattern, if it lies in the
// range.
std::optional<double> points_of(const std::string& judgment, const SelfRewardConfig& config);

// Which of two answers a judgment prefers: the last match of the pattern, A or B.
std::optional<bool> winner_of(const std::string& judgment, const SelfRewardConfig& config);

// Answer a was shown first, b second, for the sample-th time.
struct Comparison {
  int64_t a = 0, b = 0, sample = 0;
  std::optional<bool> first_wins;
};
struct Standing {
  // The share of an answer's readable comparisons that it wins; none without any.
  std::vector<std::optional<double>> scores;
  int64_t both_read = 0, consistent = 0, first_wins = 0;
};
Standing standing_of(const std::vector<Comparison>& comparisons, int64_t answers);

// 1 or 0: how verifier_command ends, with the three texts as files. Throws what
// run_confined throws.
double verify_by_command(const std::string& prompt, const std::string& answer,
                         const std::string& expected, const SelfRewardConfig& config);

// Of several judgments; none where too few of them could be read.
std::optional<double> aggregate(const std::vector<std::optional<double>>& points,
                                const SelfRewardConfig& config);

}  // namespace lathe

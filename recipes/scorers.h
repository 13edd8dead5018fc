#pragma once

#include <optional>
#include <string>
#include <vector>

#include "recipes/self_reward_config.h"

// What an answer is worth.
namespace lathe {

// 1 or 0: whether the answer agrees with the expected one. None where the
// expected one has nothing to agree with.
std::optional<double> verify(const std::string &answer,
                             const std::string &expected,
                             const SelfRewardConfig &config);

// The points of a judgment: the last match of the pattern, if it lies in the
// range.
std::optional<double> points_of(const std::string &judgment,
                                const SelfRewardConfig &config);

// Of several judgments; none where too few of them could be read.
std::optional<double>
aggregate(const std::vector<std::optional<double>> &points,
          const SelfRewardConfig &config);

} // namespace lathe

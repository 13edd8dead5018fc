#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "recipes/self_reward_config.h"

// Which of a prompt's answers are compared in training.
namespace lathe {

struct ScoredAnswer {
  std::optional<double> score;  // none: nobody could say
  int64_t length = 0;           // characters
  bool cut = false;             // by the limit of its length: never chosen
};

struct ChosenPair {
  int64_t chosen = 0;
  int64_t rejected = -1;  // -1: none, the chosen one is learnt by itself
  bool operator==(const ChosenPair&) const = default;
};

// seed: of this prompt. Empty where no two answers differ enough.
std::vector<ChosenPair> select_pairs(const std::vector<ScoredAnswer>& answers,
                                     const SelfRewardConfig& config, uint64_t seed);

}  // namespace lathe

#include "recipes/iteration_changes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace lathe {
namespace {

// What belongs to a single iteration.
bool may_change(const std::string& key) {
  constexpr std::array kSections = {"self_reward.", "dpo.", "optimizer.", "schedule.", "train."};
  constexpr std::array kOfTheRun = {"self_reward.iterations", "self_reward.prompts_per_iteration",
                                    "self_reward.changes", "self_reward.judge_eval"};
  return std::any_of(kSections.begin(), kSections.end(),
                     [&](const char* section) { return key.starts_with(section); }) &&
         std::find(kOfTheRun.begin(), kOfTheRun.end(), key) == kOfTheRun.end();
}

void apply(const IterationChange& change, RunConfig& config) {
  try {
    const ResolvedConfig resolved =
        read_yaml_text("", "", change.set, FieldCollector::collect(config));
    for (const auto& [key, origin] : resolved.origins) {
      const bool is_section = key.find('.') == std::string::npos && may_change(key + ".");
      if (!may_change(key) && !is_section)
        throw std::invalid_argument(key + " is the same in all iterations");
    }
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(
        fmt::format("self_reward.changes, from {}: {}", change.from, error.what()));
  }
}

}  // namespace

RunConfig config_of_iteration(RunConfig config, int64_t iteration) {
  const std::vector<IterationChange> changes = config.self_reward.changes;
  for (const IterationChange& change : changes) {
    if (change.from <= iteration) apply(change, config);
  }
  return config;
}

void check_self_reward(const RunConfig& config) {
  if (config.has_lora || config.model.from_scratch) {
    throw std::invalid_argument(
        "recipe self_reward trains all weights of a trained model, each iteration's the next one's "
        "start: leave lora and model.from_scratch out");
  }
  for (int64_t i = 0; i < config.self_reward.iterations; ++i) {
    const RunConfig now = config_of_iteration(config, i);
    if (now.self_reward.consistency && now.dpo.loss_type != std::vector<std::string>{"sigmoid"}) {
      throw std::invalid_argument(
          "self_reward.consistency mixes the loss of a pair with that of its reverse: it needs "
          "dpo.loss_type: [sigmoid]");
    }
  }
}

}  // namespace lathe

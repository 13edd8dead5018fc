#pragma once

#include "recipes/run_config.h"

namespace lathe {

// The config of an iteration: what self_reward.changes says holds from it on. std::invalid_argument
// names the change that can not be made.
RunConfig config_of_iteration(RunConfig config, int64_t iteration);

// What single fields can not say of recipe self_reward. std::invalid_argument.
void check_self_reward(const RunConfig& config);

}  // namespace lathe

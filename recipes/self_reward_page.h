#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipes/metrics_log.h"

namespace lathe {

// One iteration of self_reward as a page of its own, without scripts. facts: its report.json; rows:
// the log of its training.
std::string self_reward_page(const nlohmann::ordered_json& facts,
                             const std::vector<LoggedRow>& rows);

}  // namespace lathe

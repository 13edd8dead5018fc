#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/model_config.h"

namespace lathe {

// The ids that end a text of the model in this folder: eos_token_id of config.json, and of
// generation_config.json where there is one (chat models end a turn with an id that only stands
// there). std::invalid_argument when that file is broken.
std::vector<int64_t> stop_ids_of(const std::string& folder, const ModelConfig& config);

}  // namespace lathe

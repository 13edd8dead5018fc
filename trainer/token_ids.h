#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "trainer/model_config.h"

namespace lathe {

// Ids that the model can read as one sequence: each in the vocabulary, no more than
// max_position_embeddings. std::invalid_argument otherwise; `where` begins the message.
void check_token_ids(std::span<const int64_t> ids, const ModelConfig& config,
                     const std::string& where);

}  // namespace lathe

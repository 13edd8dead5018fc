#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "trainer/model_config.h"

namespace lathe {

// How many tokens a sequence may have: max_position_embeddings, times the factor where linear or
// dynamic rope scaling stretches the positions.
int64_t context_length(const ModelConfig& config);

// Ids that the model can read as one sequence: each in the vocabulary, no more than
// context_length(). std::invalid_argument otherwise; `where` begins the message.
void check_token_ids(std::span<const int64_t> ids, const ModelConfig& config,
                     const std::string& where);

}  // namespace lathe

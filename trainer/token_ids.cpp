#include "trainer/token_ids.h"

#include <algorithm>
#include <stdexcept>

namespace lathe {

int64_t context_length(const ModelConfig& config) {
  const bool stretches =
      config.rope_scaling.type == "dynamic" || config.rope_scaling.type == "linear";
  const double factor = stretches ? std::max(1.0, config.rope_scaling.factor) : 1.0;
  return static_cast<int64_t>(static_cast<double>(config.max_position_embeddings) * factor);
}

void check_token_ids(std::span<const int64_t> ids, const ModelConfig& config,
                     const std::string& where) {
  for (const int64_t id : ids) {
    if (id < 0 || id >= config.vocab_size) {
      throw std::invalid_argument(where + ": the id " + std::to_string(id) +
                                  " is not in the vocabulary of " +
                                  std::to_string(config.vocab_size));
    }
  }
  if (static_cast<int64_t>(ids.size()) > context_length(config)) {
    throw std::invalid_argument(where + ": there are " + std::to_string(ids.size()) +
                                " tokens but the model reads no more than " +
                                std::to_string(context_length(config)) +
                                " (max_position_embeddings); shorten it");
  }
}

}  // namespace lathe

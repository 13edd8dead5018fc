#include "trainer/token_ids.h"

#include <stdexcept>

namespace lathe {

void check_token_ids(std::span<const int64_t> ids, const ModelConfig& config,
                     const std::string& where) {
  for (const int64_t id : ids) {
    if (id < 0 || id >= config.vocab_size) {
      throw std::invalid_argument(where + ": the id " + std::to_string(id) +
                                  " is not in the vocabulary of " +
                                  std::to_string(config.vocab_size));
    }
  }
  if (static_cast<int64_t>(ids.size()) > config.max_position_embeddings) {
    throw std::invalid_argument(where + ": there are " + std::to_string(ids.size()) +
                                " tokens but max_position_embeddings is " +
                                std::to_string(config.max_position_embeddings) + "; shorten it");
  }
}

}  // namespace lathe

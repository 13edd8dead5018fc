#pragma once

#include <string>
#include <vector>

#include "trainer/model.h"

// Which of a model's weights stay as they are: they get no gradient and no optimiser state.
namespace lathe {

struct FreezeConfig {
  std::vector<std::string> freeze = {};               // names that begin with a match stay
  std::vector<std::string> unfrozen_parameters = {};  // not empty: only names that begin with a
                                                      // match are trained
  int64_t trainable_layers = 0;  // n > 0: of the blocks only the last n are trained; n < 0: the
                                 // first -n; 0: all. Embeddings, last norm and head stay then.
};

// std::invalid_argument for a pattern that matches nothing, and when nothing is left to train.
void freeze_parameters(Model& model, const FreezeConfig& config);

}  // namespace lathe

// Continued pre-training on plain text.
#include "recipes/language_model.h"

namespace lathe {

void pretrain_defaults(RunConfig& config) {
  config.data.packing = "wrapped";
  config.data.assistant_only_loss = false;
}

}  // namespace lathe

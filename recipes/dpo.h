#pragma once

#include "recipes/recipe.h"

namespace lathe {

void dpo_defaults(RunConfig& config);

// Trains on preferences, with the losses of the config's section dpo.
int train_preferences(RunContext run);

}  // namespace lathe

#pragma once

#include "recipes/recipe.h"

namespace lathe {

// Trains on the next token with cross entropy: what sft and pretrain are, which differ in their data only.
int train_language_model(RunContext run);

// recipes/pretrain.cpp: every token is a target; documents are laid end to end and cut into full rows.
void pretrain_defaults(RunConfig& config);

// recipes/quickstart.cpp
void quickstart_defaults(RunConfig& config);
int run_quickstart(RunContext run);

}  // namespace lathe

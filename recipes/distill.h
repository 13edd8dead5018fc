#pragma once

#include "recipes/recipe.h"

namespace lathe {

// Trains a student on a teacher's distributions, as the config's section distill says.
int train_distillation(RunContext run);

}  // namespace lathe

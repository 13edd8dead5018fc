#pragma once

#include "recipes/recipe.h"

namespace lathe {

void reward_defaults(RunConfig& config);

// Trains a model that scores answers, from pairs of a better and a worse one. The result is a
// folder of Hugging Face's AutoModelForSequenceClassification.
int train_reward(RunContext run);

}  // namespace lathe

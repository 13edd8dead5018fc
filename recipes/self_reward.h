#pragma once

#include "recipes/recipe.h"

namespace lathe {

void self_reward_defaults(RunConfig& config);

// Models that are made one out of another by what they say themselves. Each iteration goes through
//   PROMPTS -> SAMPLE -> SCORE -> SELECT -> REFERENCE -> TRAIN -> EVAL -> PROMOTE
// in output_dir/iteration-<i>/, where a run that is started again takes up what is finished.
int train_on_own_answers(RunContext run);

}  // namespace lathe

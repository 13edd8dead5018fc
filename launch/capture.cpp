// lathe capture CONFIG.yaml [key=value ...]
#include "launch/run_recipe.h"
#include "launch/run_verb.h"

namespace lathe {

int capture_verb(int argc, char** argv) {
  return recipe_verb("capture",
                     "Keeps what a teacher (model) thinks of every trained token of data.train: "
                     "its capture.top_k likeliest "
                     "tokens, in output_dir, for distill.teacher_shards.",
                     argc, argv);
}

}  // namespace lathe

// lathe synthesize CONFIG.yaml [key=value ...]
#include "launch/run_recipe.h"
#include "launch/run_verb.h"

namespace lathe {

int synthesize_verb(int argc, char** argv) {
  return recipe_verb("synthesize",
                     "Makes prompts out of seed tasks (data.train), answers them, and keeps the "
                     "answers that self_reward's scorer lets pass: output_dir/synthetic.jsonl, "
                     "for data.train and lathe curate.",
                     argc, argv);
}

}  // namespace lathe

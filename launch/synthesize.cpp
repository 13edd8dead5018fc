// lathe synthesize CONFIG.yaml [key=value ...]: what recipe synthesize does,
// whatever recipe the config names.
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_recipe.h"
#include "launch/run_verb.h"

namespace lathe {

int synthesize_verb(int argc, char **argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments("synthesize",
                      "Makes prompts out of seed tasks "
                      "(data.train), answers them, and keeps the "
                      "answers that self_reward's scorer lets "
                      "pass: output_dir/synthetic.jsonl, "
                      "for data.train and lathe curate.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  if (!arguments.parse(argc, argv)) return kDone;
  overrides.insert(overrides.begin(), "recipe=synthesize");
  return run_recipe(config_path, overrides);
}

}  // namespace lathe

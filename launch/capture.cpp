// lathe capture CONFIG.yaml [key=value ...]: what recipe capture does, whatever recipe the config
// names.
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_recipe.h"
#include "launch/run_verb.h"

namespace lathe {

int capture_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments("capture",
                      "Keeps what a teacher (model) thinks of every trained token of data.train: "
                      "its capture.top_k likeliest "
                      "tokens, in output_dir, for distill.teacher_shards.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  if (!arguments.parse(argc, argv)) return kDone;
  overrides.insert(overrides.begin(), "recipe=capture");
  return run_recipe(config_path, overrides);
}

}  // namespace lathe

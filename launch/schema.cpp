// lathe schema: JSON Schema of configs.
#include <fmt/core.h>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "recipes/run_config.h"

namespace lathe {

int schema_verb(int argc, char** argv) {
  Arguments arguments("schema", "Prints the JSON Schema of configs: point your editor's YAML plug-in to it.");
  if (!arguments.parse(argc, argv)) return kDone;
  fmt::print("{}\n", json_schema<RunConfig>());
  return kDone;
}

}  // namespace lathe

#pragma once

#include <string>
#include <vector>

namespace lathe {

// What `lathe train` does: the config's recipe, on the ranks that the launcher started. Returns the
// exit code.
int run_recipe(const std::string& config_path, const std::vector<std::string>& overrides);

// lathe RECIPE CONFIG.yaml [key=value ...]: what this recipe does, whatever recipe the config names.
int recipe_verb(const std::string& recipe, const std::string& about, int argc, char** argv);

}  // namespace lathe

// lathe ls and lathe cp: what there is to start from.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "recipes/recipe.h"
#include "trainer/model.h"
#include "trainer/nearest.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

// configs/ of the checkout that this program was built in.
fs::path configs_folder() { return LATHE_CONFIGS_DIR; }

std::vector<std::string> config_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(configs_folder())) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A golden config says what it is in its first line, a comment.
std::string first_comment(const std::string& name) {
  std::ifstream in(configs_folder() / (name + ".yaml"));
  std::string line;
  std::getline(in, line);
  return line.starts_with("# ") ? line.substr(2) : "";
}

}  // namespace

int ls_verb(int argc, char** argv) {
  Arguments arguments("ls", "Lists recipes, golden configs and model families.");
  if (!arguments.parse(argc, argv)) return kDone;
  fmt::print("recipes\n");
  for (const Recipe& recipe : recipes()) fmt::print("  {:<20} {}\n", recipe.name, recipe.sentence);
  fmt::print("\nconfigs (lathe cp NAME mine.yaml copies one)\n");
  for (const std::string& name : config_names()) fmt::print("  {:<20} {}\n", name, first_comment(name));
  fmt::print("\nmodel families\n");
  for (const std::string& family : model_families()) fmt::print("  {}\n", family);
  return kDone;
}

int cp_verb(int argc, char** argv) {
  std::string name, destination;
  Arguments arguments("cp", "Copies a golden config to start from.");
  arguments.positional("name", name, "as lathe ls lists it");
  arguments.positional("destination", destination, "the file to write; never overwritten");
  if (!arguments.parse(argc, argv)) return kDone;
  const std::vector<std::string> names = config_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw UsageError(fmt::format("lathe cp: no config `{}`; did you mean `{}`? lathe ls lists all", name, nearest(name, names)));
  }
  if (fs::exists(destination)) throw UsageError("lathe cp: " + destination + " is there already; choose another name");
  fs::copy_file(configs_folder() / (name + ".yaml"), destination);
  fmt::print("{} written; next: lathe validate {}\n", destination, destination);
  return kDone;
}

}  // namespace lathe

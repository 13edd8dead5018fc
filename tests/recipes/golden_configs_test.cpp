#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "recipes/curate_config.h"
#include "recipes/parts.h"
#include "recipes/recipe.h"
#include "tests/shared.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

// configs/eval holds tasks, which have tests of their own.
std::vector<std::string> golden_configs() {
  std::vector<std::string> paths;
  for (const char* folder :
       {LATHE_SOURCE_DIR "/configs", LATHE_SOURCE_DIR "/configs/experiments"}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Their files are looked for from the project's folder, where those of ../shared are there.
void check_curation(const std::string& path) {
  CurateConfig config;
  const ResolvedConfig resolved = read_config({.path = path, .overrides = {}}, config);
  if (!have_shared("data/text")) return;
  const fs::path before = fs::current_path();
  fs::current_path(LATHE_SOURCE_DIR);
  curate_options(config, resolved);
  fs::current_path(before);
}

// As lathe validate --config-only does.
void check_recipe(const std::string& path) {
  const ConfigSource source{.path = path, .overrides = {}};
  RunConfig first, config;
  read_config(source, first);
  const Recipe& recipe = find_recipe(first.recipe);
  recipe.defaults(config);
  const ResolvedConfig resolved = read_run_config(source, config);
  check_run(config, resolved, recipe.makes_its_data);
  EXPECT_TRUE(resolved.notes.empty()) << "golden configs speak lathe's own words";
  mesh_shape(config.parallel);
  const std::string& rubric = config.self_reward.judge_prompt;
  EXPECT_TRUE(rubric.empty() || fs::exists(LATHE_SOURCE_DIR "/" + rubric)) << rubric;
}

TEST(GoldenConfigs, AreAllValid) {
  const std::vector<std::string> paths = golden_configs();
  EXPECT_GE(paths.size(), 24U);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    const bool curates = fs::path(path).filename().string().starts_with("curate");
    EXPECT_NO_THROW(curates ? check_curation(path) : check_recipe(path));
  }
}

TEST(GoldenConfigs, SayInTheirFirstLineWhatTheyAre) {
  for (const std::string& path : golden_configs()) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    EXPECT_TRUE(line.starts_with("# ") && line.size() > 20) << path;
  }
}

}  // namespace
}  // namespace lathe

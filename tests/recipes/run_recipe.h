#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "parallel/world.h"
#include "recipes/recipe.h"
#include "tests/shared.h"

// A recipe run as the program runs it, on threads as ranks.
namespace lathe {

struct Layout {
  int ranks = 1;
  int64_t rows = 2, micro_batches = 2;
};

inline void run_recipe(const RunConfig& config, int ranks, bool stopped = false) {
  std::filesystem::create_directories(config.output_dir);
  const std::atomic<bool> stop = stopped;
  WorldOptions options;
  options.backend = "local";
  options.ranks = ranks;
  options.threads_per_rank = 1;
  run_world(options, [&](std::unique_ptr<Group> world) {
    EXPECT_EQ(find_recipe(config.recipe)
                  .run({.config = config,
                        .world = std::move(world),
                        .fingerprint = "",
                        .cache_dir = config.data.cache_dir,
                        .stop_requested = stop,
                        .console = false}),
              stopped ? 75 : 0);
  });
}

// The logged steps, or evaluations.
inline std::vector<nlohmann::json> metrics_of(const RunConfig& config,
                                              const std::string& with = "loss") {
  std::ifstream in(config.output_dir + "/metrics.jsonl");
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row.contains(with)) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace lathe

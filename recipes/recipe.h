#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "parallel/group.h"
#include "parallel/rank_log.h"
#include "recipes/run_config.h"

// What is trained on what, with which objective. A recipe builds the parts in plain sight and hands them to a Trainer.
namespace lathe {

struct RunContext {
  RunConfig config;
  std::unique_ptr<Group> world;
  std::string fingerprint;  // of what must not change when a run is resumed
  std::string cache_dir;    // of the user, for prepared data
  const std::atomic<bool>& stop_requested;
  bool console = true;  // print what happens
  RankLog* log = nullptr;  // told the phase and the step
};

struct Recipe {
  std::string name;
  std::string sentence;
  bool makes_its_data = false;  // needs no model and data in the config
  // What this recipe presumes where the user says nothing.
  std::function<void(RunConfig&)> defaults;
  // Returns the exit code: 0 done, 75 stopped by a signal with a checkpoint saved.
  std::function<int(RunContext)> run;
};

// The table. find_recipe throws std::invalid_argument naming the nearest.
const std::vector<Recipe>& recipes();
const Recipe& find_recipe(const std::string& name);

}  // namespace lathe

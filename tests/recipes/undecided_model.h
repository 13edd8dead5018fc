#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/recipes/run_recipe.h"
#include "tests/shared.h"
#include "tests/tiny.h"

// A tiny model that answers questions with yes or no, and what is asked of it.
namespace lathe {

inline constexpr const char* kFixtures = "fixtures/trl";

inline const char* const kQuestions[] = {"How many?", "Which one?", "What is it?",
                                         "When?",     "Where to?",  "Why?"};

inline std::string write_questions(const std::string& path, const std::vector<std::string>& answers,
                                   const std::string& before = "", const std::string& behind = "") {
  std::ofstream out(path);
  for (const std::string& answer : answers) {
    for (const char* question : kQuestions)
      out << nlohmann::json{{"question", before + question + behind}, {"answer", answer}}.dump()
          << '\n';
  }
  return path;
}

inline RunConfig base_config(const std::string& folder) {
  RunConfig config;
  config.model.model_name_or_path = shared_path("fixtures/trl/model");
  config.model.dtype = "fp32";
  config.data.cache_dir = folder + "/cache";
  config.data.packing = "false";
  config.schedule.lr_scheduler_type = "constant";
  config.schedule.warmup_steps = 0;
  config.train.logging_steps = 1;
  config.train.save_steps = 0;
  return config;
}

// A model that answers yes or no, and stops; as_task: to lathe synthesize's "Task 1: ..." too.
inline std::string undecided_model(const std::string& folder, bool as_task = false) {
  RunConfig config = base_config(folder);
  config.output_dir = folder + "/undecided";
  config.data.train = {{.path = write_questions(folder + "/undecided.jsonl", {"yes", "no"})}};
  if (as_task) {
    config.data.train.push_back({.path = write_questions(folder + "/undecided_task.jsonl",
                                                         {"yes", "no"}, "Task 1: ", "\n")});
  }
  config.optimizer.learning_rate = 3e-3;
  config.train.max_steps = as_task ? 160 : 80;
  config.train.per_device_train_batch_size = 12;
  run_recipe(config, 1);
  return config.output_dir;
}

inline std::string file_of(const RunConfig& config, const std::string& name) {
  return read_file(config.output_dir + "/" + name);
}

}  // namespace lathe

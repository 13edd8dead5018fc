#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/recipes/run_recipe.h"
#include "tests/tiny.h"

// Runs of recipe distill on the models and data of TRL's fixtures.
namespace lathe {

inline constexpr const char* kFixtures = "fixtures/trl";

inline std::string fixture(const std::string& path) {
  return shared_path(std::string(kFixtures) + "/" + path);
}

// TRL's GKD trains the last turn only.
inline std::string last_turns(const std::string& folder) {
  const std::string path = folder + "/last_turns.jsonl";
  if (std::filesystem::exists(path)) return path;
  std::ifstream in(fixture("gkd/data.jsonl"));
  std::ofstream out(path);
  for (std::string line; std::getline(in, line);) {
    auto messages = nlohmann::ordered_json::parse(line).at("messages");
    const auto completion = nlohmann::ordered_json::array({messages.back()});
    messages.erase(messages.size() - 1);
    out << nlohmann::ordered_json{{"prompt", messages}, {"completion", completion}}.dump() << '\n';
  }
  return path;
}

inline RunConfig config_of(const std::string& folder, const Layout& layout = {}) {
  RunConfig config;
  config.recipe = "distill";
  config.output_dir = folder + "/run";
  config.model.model_name_or_path = fixture("model");
  config.model.dtype = "fp32";
  config.data.train = {{.path = last_turns(folder)}};
  config.data.shuffle = false;
  config.data.packing = "false";
  config.data.cache_dir = folder + "/cache";
  config.optimizer.learning_rate = 2e-3;
  config.optimizer.weight_decay = 0;
  config.schedule.lr_scheduler_type = "linear";
  config.schedule.warmup_steps = 0;
  config.train.max_steps = 10;
  config.train.logging_steps = 1;
  config.train.save_steps = 0;
  config.train.per_device_train_batch_size = layout.rows;
  config.train.gradient_accumulation_steps = layout.micro_batches;
  config.distill.teacher_model_name_or_path = fixture("teacher");
  config.distill.teacher_dtype = "fp32";
  config.distill.divergence = "jsd";
  return config;
}

// What the teacher's shards hold in a folder, by file.
inline std::map<std::string, std::string> shards_in(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".h5") files[entry.path().filename()] = read_file(entry.path());
  }
  return files;
}

inline RunConfig capture_config(const std::string& folder, int64_t k) {
  RunConfig config = config_of(folder);
  config.recipe = "capture";
  config.output_dir = folder + "/rows";
  config.model.model_name_or_path = fixture("teacher");
  config.model.tokenizer = fixture("model");
  config.capture.top_k = k;
  config.capture.shard_rows = 500;
  return config;
}

}  // namespace lathe

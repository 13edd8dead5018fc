#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "trainer/config.h"

// A config with one field of every kind, as the recipes' is, and short ways to read it.
namespace lathe::config_example {

struct FileConfig {
  std::string path;
  double weight = 1;
  std::vector<std::string> columns;
  TextMap names;
};
template <class V>
void fields(V& v, FileConfig& c) {
  v("path", c.path, "file, glob or folder", required());
  v("weight", c.weight, "how often it is drawn", above(0));
  v("columns", c.columns, "which columns");
  v("names", c.names, "what they are called");
}

struct DataSection {
  std::vector<FileConfig> train;
  int64_t max_length = 1024;
  std::string packing = "true";
  bool shuffle = true;
};
template <class V>
void fields(V& v, DataSection& c) {
  v("train", c.train, "what to train on");
  v("max_length", c.max_length, "tokens of a row", at_least(1));
  v("packing", c.packing, "how rows are filled", one_of({"true", "false", "wrapped"}));
  v("shuffle", c.shuffle, "draw in random order");
}

struct OptimizerSection {
  std::string optim = "adamw";
  double learning_rate = 2e-5;
  double adam_beta1 = 0.9, adam_beta2 = 0.999;
  double beta = 0.5;
};
template <class V>
void fields(V& v, OptimizerSection& c) {
  v("optim", c.optim, "which optimiser", one_of({"adamw"}));
  v("learning_rate", c.learning_rate, "peak learning rate", at_least(0));
  v("adam_beta1", c.adam_beta1, "decay of the first moment", between(0, 1));
  v("adam_beta2", c.adam_beta2, "decay of the second moment", between(0, 1));
  v("beta", c.beta, "a name that two sections have", above(0));
}
inline std::vector<Conflict> conflicts(const OptimizerSection& c) {
  if (c.adam_beta1 <= c.adam_beta2) return {};
  return {{{"adam_beta1", "adam_beta2"}, "the first moment must be the shorter one"}};
}

struct LoraSection {
  int64_t lora_r = 16;
  double beta = 1;
  std::vector<std::string> lora_target_modules = {"all-linear"};
};
template <class V>
void fields(V& v, LoraSection& c) {
  v("lora_r", c.lora_r, "rank", at_least(1));
  v("beta", c.beta, "a name that two sections have");
  v("lora_target_modules", c.lora_target_modules, "which layers");
}

struct RunConfig {
  std::string recipe = "sft", output_dir = "runs/first", model_name_or_path, dtype = "bf16";
  int64_t seed = 42;
  double warmup_steps = 0;
  DataSection data;
  OptimizerSection optimizer;
  LoraSection lora;
};
template <class V>
void fields(V& v, RunConfig& c) {
  v("recipe", c.recipe, "what to do", one_of({"sft", "pretrain"}));
  v("output_dir", c.output_dir, "where results go");
  v("model_name_or_path", c.model_name_or_path, "the model");
  v("dtype", c.dtype, "compute type", one_of({"bf16", "fp32"}));
  v("seed", c.seed, "of all random numbers");
  v("warmup_steps", c.warmup_steps, "steps, or a share of them", at_least(0));
  v("data", c.data, "what it is trained on");
  v("optimizer", c.optimizer, "how weights are updated");
  v("lora", c.lora, "low-rank adapters", may_be_absent());
}
inline std::vector<Conflict> conflicts(const RunConfig& c) {
  if (c.recipe != "pretrain" || c.data.packing != "false") return {};
  return {{{"recipe", "data.packing"}, "pretraining fills rows; set data.packing: wrapped"}};
}

struct Read {
  RunConfig config;
  ResolvedConfig resolved;
};

inline Read read(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  Read result;
  result.resolved =
      read_yaml_text(yaml, "run.yaml", overrides, FieldCollector::collect(result.config));
  return result;
}

inline std::string fault(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    read(yaml, overrides);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no fault";
}

inline std::string without_comments(const std::string& dump) {
  std::string text;
  std::istringstream lines(dump);
  for (std::string line; std::getline(lines, line);)
    text += line.substr(0, line.find("  # ")) + "\n";
  return text;
}

}  // namespace lathe::config_example

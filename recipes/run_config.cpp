#include "recipes/run_config.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "recipes/iteration_changes.h"
#include "recipes/synthesize.h"

namespace lathe {
namespace {

// Walks a struct's fields and writes `section.key: value` lines.
struct LineWriter {
  std::string prefix, out;
  std::set<std::string> left_out;
  std::set<std::string> only;  // not empty: these, and what is in them

  bool wanted(const std::string& key) const {
    return only.empty() || std::any_of(only.begin(), only.end(), [&](const std::string& each) {
             return key == each || key.starts_with(each + ".") || key.starts_with(each + "[");
           });
  }

  template <class T>
  void operator()(const char* name, T& value, const char*, const Rule& = {}) {
    const std::string key = prefix + name;
    if (left_out.contains(key)) return;
    if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T> || std::is_same_v<T, std::vector<std::string>>) {
      if (wanted(key)) out += fmt::format("{}: {}\n", key, value);
    } else if constexpr (std::is_same_v<T, TextMap>) {
      if (!wanted(key)) return;
      for (const auto& [item, text] : value) out += fmt::format("{}.{}: {}\n", key, item, text);
    } else if constexpr (requires { value.begin(); }) {
      for (size_t i = 0; i < value.size(); ++i) nested(fmt::format("{}[{}].", key, i), value[i]);
    } else {
      nested(key + ".", value);
    }
  }

  template <class T>
  void nested(const std::string& inner, T& value) {
    const std::string outer = std::exchange(prefix, inner);
    fields(*this, value);
    prefix = outer;
  }
};

// What may change when a run goes on.
constexpr const char* kFreeKeys[] = {
    "parallel", "train.logging_steps", "train.eval_steps", "train.save_steps", "train.save_total_limit", "train.sample_steps",
    "train.num_samples", "train.price_per_hour", "train.save_on_first_step", "train.save_in_background",
    "train.load_best_model_at_end", "train.metric_for_best_model", "train.greater_is_better", "train.per_device_eval_batch_size",
    "data.eval", "data.exact_match", "data.cache_dir", "data.dataset_dir", "data.prefetch", "train.per_device_train_batch_size",
    "train.gradient_accumulation_steps", "train.global_batch_size"};

[[noreturn]] void refuse(const ResolvedConfig& resolved, const std::string& key, const std::string& what) {
  throw std::invalid_argument(fmt::format("{}: {}", resolved.where(key), what));
}

}  // namespace

ResolvedConfig read_run_config(const ConfigSource& source, RunConfig& config) {
  ResolvedConfig resolved = read_config(source, config);
  config.has_lora = resolved.given("lora");
  return resolved;
}

void check_run(const RunConfig& config, const ResolvedConfig& resolved, bool makes_its_data) {
  if (makes_its_data) {
    if (!config.data.train.empty()) {
      refuse(resolved, "data.train", "recipe " + config.recipe + " makes its own data; leave data.train out, or use recipe: sft");
    }
    return;
  }
  if (config.model.model_name_or_path.empty()) {
    throw std::invalid_argument("model.model_name_or_path is missing; give the folder of a Hugging Face model");
  }
  if (config.data.train.empty()) throw std::invalid_argument("data.train is missing; give a file, a folder or a list of them");
  if (config.train.eval_steps > 0 && config.data.eval.empty()) {
    refuse(resolved, "train.eval_steps", "train.eval_steps needs data.eval: there is nothing to evaluate on");
  }
  if (config.train.load_best_model_at_end && config.data.eval.empty()) {
    refuse(resolved, "train.load_best_model_at_end", "train.load_best_model_at_end needs data.eval: nothing tells the best");
  }
  if (config.train.global_batch_size > 0 && config.train.gradient_accumulation_steps > 1) {
    refuse(resolved, "train.global_batch_size",
           "train.global_batch_size and train.gradient_accumulation_steps both say how many rows make a step; keep one");
  }
  if (config.optimizer.optimizer_in_bwd && config.train.gradient_accumulation_steps > 1) {
    refuse(resolved, "optimizer.optimizer_in_bwd",
           "optimizer.optimizer_in_bwd updates in every backward, so a step has one micro-batch; set train.gradient_accumulation_steps: 1");
  }
  const bool prefers = config.recipe == "dpo" || config.recipe == "self_reward";
  if (config.parallel.zero == 3 && prefers && config.dpo.sync_ref_model) {
    refuse(resolved, "dpo.sync_ref_model",
           "dpo.sync_ref_model moves the reference's whole weights, of which a rank has only slices with parallel.zero 3; use zero: 2");
  }
  if (config.recipe == "self_reward") check_self_reward(config);
  if (config.recipe == "synthesize") check_synthesize(config);
  for (const char* key : {"model.freeze", "model.unfrozen_parameters", "model.freeze_trainable_layers"}) {
    if (config.has_lora && resolved.given(key)) {
      refuse(resolved, key, std::string(key) + " does not go with lora, which freezes all weights of the model; leave it out");
    }
  }
}

std::string fingerprint(RunConfig config) {
  LineWriter writer;
  writer.left_out = {"output_dir", "train.resume_from_checkpoint"};
  writer.left_out.insert(std::begin(kFreeKeys), std::end(kFreeKeys));
  if (!config.has_lora) writer.left_out.insert("lora");
  for (const char* section : {"dpo", "distill", "capture", "reward", "self_reward", "synthesize", "quickstart"}) {
    const bool borrowed = (section == std::string("dpo") && config.recipe == "self_reward") ||
                          (section == std::string("self_reward") && config.recipe == "synthesize");
    if (config.recipe != section && !borrowed) writer.left_out.insert(section);
  }
  fields(writer, config);
  return writer.out;
}

std::string free_settings(RunConfig config) {
  LineWriter writer;
  writer.only.insert(std::begin(kFreeKeys), std::end(kFreeKeys));
  fields(writer, config);
  return writer.out;
}

}  // namespace lathe

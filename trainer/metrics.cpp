#include "trainer/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "trainer/tensorboard.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

void check(const std::ostream& stream, const std::string& path) {
  if (!stream)
    throw std::runtime_error("metrics: can not write " + path + ": " + std::strerror(errno));
}

// Under a temporary name, then renamed: a reader never sees half a file.
void replace_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  check(out, temporary);
  fs::rename(temporary, path);
}

// Hugging Face's rule: eval_loss -> eval/loss, everything else -> train/<name>.
std::string tag_of(const std::string& name) {
  return name.starts_with("eval_") ? "eval/" + name.substr(5) : "train/" + name;
}

}  // namespace

std::string json_line(int64_t step, const MetricRow& row) {
  std::string line = fmt::format("{{\"step\": {}", step);
  for (const auto& [name, value] : row) {
    line += fmt::format(", {}: ", nlohmann::json(name).dump());
    line += std::isfinite(value) ? fmt::format("{}", value) : "null";
  }
  return line + "}";
}

struct Metrics::Parts {
  std::string folder;
  bool console = false, terminal = false;
  std::vector<std::string> history;  // the lines of metrics.jsonl
  std::ofstream lines;
  std::optional<EventWriter> events;

  std::string lines_path() const { return folder + "/metrics.jsonl"; }

  void print(const std::string& line) const {
    if (!console) return;
    fmt::print("{}{}\n", terminal ? "\r\033[K" : "", line);
    std::fflush(stdout);
  }

  void open(int64_t first_step) {
    lines.open(lines_path(), std::ios::binary | std::ios::app);
    check(lines, lines_path());
    events.emplace(folder, first_step);
  }

  void log(int64_t step, const MetricRow& row) {
    if (folder.empty()) return;
    if (!events) open(0);
    history.push_back(json_line(step, row));
    lines << history.back() << '\n' << std::flush;
    check(lines, lines_path());
    for (const auto& [name, value] : row) events->scalar(tag_of(name), step, value);
    events->flush();
  }
};

Metrics::Metrics(const std::string& output_dir, bool console) : parts_(std::make_unique<Parts>()) {
  parts_->folder = output_dir;
  parts_->console = console && !output_dir.empty();
  parts_->terminal = isatty(STDOUT_FILENO) != 0;
  if (!output_dir.empty()) fs::create_directories(output_dir);
}

Metrics::~Metrics() = default;

void Metrics::log_train(int64_t step, int64_t total_steps, const MetricRow& row) {
  parts_->log(step, row);
  parts_->print(train_line(step, total_steps, row));
}

void Metrics::tick(int64_t step, int64_t total_steps, double loss) {
  if (!parts_->console || !parts_->terminal) return;
  fmt::print("\r\033[K{}", bar_line(step, total_steps, loss));
  std::fflush(stdout);
}

void Metrics::log_eval(int64_t step, const MetricRow& row) {
  parts_->log(step, row);
  parts_->print(eval_line(step, row));
}

void Metrics::note(const std::string& line) { parts_->print(line); }

void Metrics::save_state(const RunCounters& counters) {
  if (parts_->folder.empty()) return;
  nlohmann::json best_step, best_metric, best_checkpoint;  // null
  if (counters.best_step > 0) {
    best_step = counters.best_step;
    best_metric = counters.best_metric;
    best_checkpoint = counters.best_checkpoint;
  }
  nlohmann::json state = {{"best_global_step", best_step},
                          {"best_metric", best_metric},
                          {"best_model_checkpoint", best_checkpoint},
                          {"epoch", counters.epoch},
                          {"eval_steps", counters.eval_steps},
                          {"global_step", counters.global_step},
                          {"is_hyper_param_search", false},
                          {"is_local_process_zero", true},
                          {"is_world_process_zero", true},
                          {"log_history", nlohmann::json::array()},
                          {"logging_steps", counters.logging_steps},
                          {"max_steps", counters.max_steps},
                          {"num_input_tokens_seen", counters.num_input_tokens_seen},
                          {"num_train_epochs", counters.num_train_epochs},
                          {"save_steps", counters.save_steps},
                          {"stateful_callbacks", nlohmann::json::object()},
                          {"total_flos", 0},
                          {"train_batch_size", counters.train_batch_size},
                          {"trial_name", nullptr},
                          {"trial_params", nullptr}};
  for (const std::string& line : parts_->history)
    state["log_history"].push_back(nlohmann::json::parse(line));
  replace_file(parts_->folder + "/trainer_state.json", state.dump(2) + "\n");
}

void Metrics::finish(const RunCounters& counters, const MetricRow& summary) {
  parts_->log(counters.global_step, summary);
  std::string line = "done";
  for (const auto& [name, value] : summary) {
    if (name == "train_runtime") {
      line += " in " + short_duration(value);
    } else {
      line += fmt::format("  {} {:.4g}", name, value);
    }
  }
  parts_->print(line);
  save_state(counters);
}

void Metrics::rewind(int64_t step) {
  if (parts_->folder.empty()) return;
  parts_->history.clear();
  if (parts_->lines.is_open()) parts_->lines.close();
  std::ifstream in(parts_->lines_path(), std::ios::binary);
  std::string text;
  for (std::string line; std::getline(in, line);) {
    // A line that was cut off when the run died is not JSON: it goes too. So does the closing
    // summary, which will be written anew.
    const auto row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object() || row.contains("train_runtime")) continue;
    if (!row.contains("step") || !row["step"].is_number() ||
        row["step"].get<double>() > static_cast<double>(step))
      continue;
    parts_->history.push_back(line);
    text += line + "\n";
  }
  if (in.is_open()) replace_file(parts_->lines_path(), text);
  parts_->open(step + 1);
}

}  // namespace lathe

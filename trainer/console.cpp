#include "trainer/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

namespace lathe {
namespace {

std::optional<double> find(const MetricRow& row, const std::string& key) {
  for (const auto& [name, value] : row) {
    if (name == key) return value;
  }
  return std::nullopt;
}

// Keys that the train line shows in its own way, or leaves to metrics.jsonl.
constexpr std::array<std::string_view, 11> kKnownKeys{
    "step",          "epoch",        "loss",
    "grad_norm",     "num_tokens",   "tokens_per_second",
    "learning_rate", "step_seconds", "data_wait_seconds",
    "memory_gib",    "gemm_share"};

}  // namespace

std::string short_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<int64_t>(std::llround(std::min(seconds, 1e15)));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  return fmt::format("{}d{:02}h", whole / 86400, whole % 86400 / 3600);
}

std::string short_count(double count) {
  if (count < 999.5) return fmt::format("{:.0f}", count);
  if (count < 999.95e3) return fmt::format("{:.1f}k", count / 1e3);
  if (count < 999.95e6) return fmt::format("{:.1f}M", count / 1e6);
  return fmt::format("{:.1f}G", count / 1e9);
}

std::string train_line(int64_t step, int64_t total_steps, const MetricRow& row) {
  const std::string total = std::to_string(total_steps);
  std::string line = fmt::format("step {:>{}}/{}", step, total.size(), total);
  if (const auto epoch = find(row, "epoch")) line += fmt::format("  epoch {:.2f}", *epoch);
  if (const auto loss = find(row, "loss")) line += fmt::format("  loss {:.4f}", *loss);
  if (const auto norm = find(row, "grad_norm")) line += fmt::format("  grad_norm {:<7.3g}", *norm);
  if (const auto rate = find(row, "learning_rate")) line += fmt::format("  lr {:<8.3g}", *rate);
  for (const auto& [name, value] : row) {
    if (std::ranges::find(kKnownKeys, name) == kKnownKeys.end())
      line += fmt::format("  {} {:.4g}", name, value);
  }
  if (const auto speed = find(row, "tokens_per_second"))
    line += fmt::format("  {:>6} tok/s", short_count(*speed));
  if (const auto share = find(row, "gemm_share"))
    line += fmt::format("  gemm {:.0f} %", 100 * *share);
  if (const auto memory = find(row, "memory_gib")) line += fmt::format("  mem {:.1f}G", *memory);
  const auto seconds = find(row, "step_seconds");
  const auto waited = find(row, "data_wait_seconds");
  if (seconds && waited)
    line += fmt::format("  data {:.1f} %", *seconds > 0 ? 100 * *waited / *seconds : 0.0);
  if (seconds)
    line += "  eta " + short_duration(*seconds * static_cast<double>(total_steps - step));
  return line;
}

std::string bar_line(int64_t step, int64_t total_steps, double loss) {
  constexpr int64_t kWidth = 30;
  const int64_t filled =
      total_steps > 0 ? kWidth * std::min(step, total_steps) / total_steps : kWidth;
  return fmt::format("[{}{}] {}/{}  loss {:.4f}", std::string(filled, '#'),
                     std::string(kWidth - filled, '.'), step, total_steps, loss);
}

std::string eval_line(int64_t step, const MetricRow& row) {
  std::string line = fmt::format("eval at step {}", step);
  for (const auto& [name, value] : row) {
    if (name == "eval_runtime") {
      line += "  in " + fmt::format("{:.1f}s", value);
    } else if (name != "epoch") {
      line += fmt::format("  {} {:.4f}", name, value);
    }
  }
  return line;
}

}  // namespace lathe

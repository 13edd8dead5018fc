#include "recipes/prove.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "recipes/metrics_log.h"
#include "trainer/safetensors.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostRanks = 4;

int64_t rows_of_a_step(const RunConfig& config) {
  const TrainConfig& train = config.train;
  const int64_t rows = train.global_batch_size > 0
                           ? train.global_batch_size
                           : train.per_device_train_batch_size * train.gradient_accumulation_steps *
                                 config.parallel.ranks;
  return (rows + kMostRanks - 1) / kMostRanks * kMostRanks;
}

int64_t largest_divisor(int64_t number, int64_t at_most) {
  int64_t divisor = std::clamp<int64_t>(at_most, 1, number);
  while (number % divisor != 0) --divisor;
  return divisor;
}

// Only what is compared: no evaluation, no checkpoints, no questions.
RunConfig few_steps(RunConfig config, int64_t steps) {
  config.data.eval.clear();
  config.data.exact_match.clear();
  config.train.max_steps = steps;
  config.train.logging_steps = 1;
  config.train.eval_steps = 0;
  config.train.save_steps = 0;
  config.train.resume_from_checkpoint = "never";
  config.train.global_batch_size = 0;
  config.parallel.dp = "auto";
  config.parallel.tp = 1;
  config.parallel.backend = "local";
  return config;
}

ProofRun layout(RunConfig config, int64_t rows, int64_t ranks, int64_t micro_batch, int64_t zero) {
  config.parallel.ranks = ranks;
  config.parallel.zero = zero;
  config.train.per_device_train_batch_size = largest_divisor(rows / ranks, micro_batch);
  config.train.gradient_accumulation_steps =
      rows / ranks / config.train.per_device_train_batch_size;
  return {.name = fmt::format("{} rank{}, {} x {} rows, zero {}", ranks, ranks == 1 ? "" : "s",
                              config.train.gradient_accumulation_steps,
                              config.train.per_device_train_batch_size, zero),
          .config = std::move(config)};
}

double relative(double first, double other) {
  if (first == other) return 0;
  const double difference = std::abs(first - other) / std::abs(first);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

double largest_relative(const std::vector<double>& first, const std::vector<double>& other) {
  if (first.size() != other.size()) {
    throw std::runtime_error(fmt::format("prove: {} steps were logged by one run, {} by the other",
                                         first.size(), other.size()));
  }
  double largest = 0;
  for (size_t i = 0; i < first.size(); ++i)
    largest = std::max(largest, relative(first[i], other[i]));
  return largest;
}

double squared_norm(const at::Tensor& value) { return value.square().sum().item<double>(); }

}  // namespace

std::vector<ProofRun> plan_proof(const RunConfig& config, int64_t steps) {
  if (steps < 2) {
    throw std::invalid_argument(
        fmt::format("--steps is {}; expected at least 2, one before and one after a stop", steps));
  }
  const RunConfig base = few_steps(config, steps);
  const int64_t rows = rows_of_a_step(config);
  const int64_t micro = largest_divisor(rows, config.train.per_device_train_batch_size);
  std::vector<ProofRun> runs = {layout(base, rows, 1, micro, 0)};
  runs.push_back(layout(base, rows, 1, micro > 1 ? micro - 1 : 2, 0));
  runs.push_back(layout(base, rows, 2, micro, 0));
  runs.push_back(layout(base, rows, 2, micro, 1));
  runs.push_back(layout(base, rows, 4, micro, 0));
  runs.push_back(layout(base, rows, 4, micro, 1));
  ProofRun resumed = runs.front();
  resumed.name = "the first, stopped and resumed";
  resumed.stops = true;
  resumed.config.train.resume_from_checkpoint = "auto";
  runs.push_back(std::move(resumed));
  return runs;
}

Outcome read_outcome(const std::string& folder) {
  Outcome outcome;
  const std::vector<LoggedRow> rows = read_metrics_log(folder + "/metrics.jsonl");
  outcome.losses = curve_of(rows, "loss").values;
  outcome.gradient_norms = curve_of(rows, "grad_norm").values;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    for (const auto& [name, unused] : file.entries()) {
      outcome.weights[name] = file.tensor(name).clone();
    }
  }
  if (outcome.weights.empty()) throw std::runtime_error("prove: no weights in " + folder);
  return outcome;
}

double Differences::largest() const { return std::max({loss, gradient_norm, weights}); }

Differences compare(const Outcome& first, const Outcome& other) {
  Differences result{.loss = largest_relative(first.losses, other.losses),
                     .gradient_norm = largest_relative(first.gradient_norms, other.gradient_norms)};
  if (first.weights.size() != other.weights.size()) {
    throw std::runtime_error("prove: the two runs wrote different numbers of weights");
  }
  double difference = 0, size = 0;
  for (const auto& [name, weight] : first.weights) {
    const auto found = other.weights.find(name);
    if (found == other.weights.end() || !found->second.sizes().equals(weight.sizes())) {
      throw std::runtime_error("prove: the two runs do not both hold the weight " + name);
    }
    const at::Tensor a = weight.to(at::kDouble);
    difference += squared_norm(a - found->second.to(at::kDouble));
    size += squared_norm(a);
  }
  if (difference != 0) result.weights = std::sqrt(difference / size);
  if (std::isnan(result.weights)) result.weights = std::numeric_limits<double>::infinity();
  return result;
}

double proof_tolerance(at::ScalarType dtype, bool stops) {
  if (stops) return 0;
  return dtype == at::kBFloat16 ? 2e-2 : 1e-5;
}

}  // namespace lathe

// lathe prove CONFIG.yaml [key=value ...] [--steps N]: splits and a stop change nothing, shown on
// the user's own config.
#include <fmt/core.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "launch/signals.h"
#include "parallel/world.h"
#include "recipes/parts.h"
#include "recipes/prove.h"
#include "recipes/recipe.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

// A folder that goes when this goes.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = fs::temp_directory_path() / "lathe-prove-XXXXXX";
    if (!mkdtemp(pattern.data()))
      throw std::runtime_error("prove: can not make a folder like " + pattern);
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int train_quietly(const RunConfig& config, const std::atomic<bool>& stop_requested) {
  const WorldOptions options{
      .backend = "local",
      .ranks = static_cast<int>(config.parallel.ranks),
      .threads_per_rank = static_cast<int>(config.parallel.threads_per_rank)};
  std::atomic<int> code = kDone;
  run_world(options, [&](std::unique_ptr<Group> world) {
    const int result = find_recipe(config.recipe)
                           .run({.config = config,
                                 .world = std::move(world),
                                 .fingerprint = fingerprint(config),
                                 .cache_dir = user_cache_dir(),
                                 .stop_requested = stop_requested,
                                 .console = false});
    code = result;
  });
  return code;
}

// Nothing when the user stopped it.
std::optional<Outcome> outcome_of(const ProofRun& run, const std::atomic<bool>& stop_requested) {
  const ScratchFolder folder;
  RunConfig config = run.config;
  config.output_dir = folder.path();
  const std::atomic<bool> at_once = true;
  if (run.stops && train_quietly(config, at_once) != kStopped) {
    throw std::logic_error("prove: a run that was told to stop did not");
  }
  if (train_quietly(config, stop_requested) == kStopped) return std::nullopt;
  return read_outcome(folder.path());
}

void say_row(const std::string& name, const Differences& found, double tolerance, bool good) {
  fmt::print("{:<34} {:>9.2g} {:>9.2g} {:>9.2g} {:>9.2g}  {}\n", name, found.loss,
             found.gradient_norm, found.weights, tolerance, good ? "ok" : "DIFFERS");
  std::fflush(stdout);
}

int prove(const RunConfig& config, int64_t steps) {
  std::vector<ProofRun> runs;
  with_code(kUsage, [&] { runs = plan_proof(config, steps); });
  const at::ScalarType dtype = compute_dtype(config.model.dtype, at::kCPU);
  const std::atomic<bool>& stop_requested = stop_on_signals();
  const TrainConfig& train = runs.front().config.train;
  fmt::print("{} steps of {} rows in {}; largest relative difference to the first run\n", steps,
             train.per_device_train_batch_size * train.gradient_accumulation_steps,
             dtype == at::kBFloat16 ? "bf16" : "fp32");
  fmt::print("{:<34} {:>9} {:>9} {:>9} {:>9}\n", "split", "loss", "grad_norm", "weights",
             "tolerance");
  std::optional<Outcome> first;
  bool all_good = true;
  for (const ProofRun& run : runs) {
    const std::optional<Outcome> outcome = outcome_of(run, stop_requested);
    if (!outcome) return kStopped;
    if (!first) first = outcome;
    const Differences found = compare(*first, *outcome);
    const double tolerance = &run == &runs.front() ? 0 : proof_tolerance(dtype, run.stops);
    const bool good = found.largest() <= tolerance;
    say_row(run.name, found, tolerance, good);
    all_good = all_good && good;
  }
  return all_good ? kDone : kNumericStop;
}

}  // namespace

int prove_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  int64_t steps = 4;
  Arguments arguments("prove",
                      "Trains a few steps of a config under several splits, and once stopped and "
                      "resumed, and compares. "
                      "The config's output_dir is not touched.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  arguments.option("--steps", steps, "steps of every run");
  if (!arguments.parse(argc, argv)) return kDone;
  return prove(read_run(config_path, overrides).config, steps);
}

}  // namespace lathe

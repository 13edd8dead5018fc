#include <fmt/core.h>

#include <cmath>
#include <fstream>

#include "trainer/agree.h"
#include "trainer/trainer.h"

// What a run leaves behind and comes back to: checkpoints, the best of them, an earlier one.
namespace lathe {
namespace {

constexpr int kMaxFailedSaves = 3;

// Bytes that programs can still have; 0: not known.
double free_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return 1024 * std::stod(line.substr(13));
  }
  return 0;
}

}  // namespace

void Trainer::resume() {
  Group& world = parts_.mesh.world();
  const std::string& from = options_.train.resume_from_checkpoint;
  std::optional<Checkpoint> checkpoint;
  if (from != "auto" && from != "never") {
    checkpoint.emplace(from, world);
  } else if (from == "auto" && !options_.output_dir.empty()) {
    checkpoint = open_newest_checkpoint(
        options_.output_dir, world, [&](const std::string& line) { parts_.metrics.note(line); });
  }
  if (checkpoint) {
    restore(*checkpoint);
    if (const std::string changed = changed_settings(checkpoint->state(), options_.settings); !changed.empty())
      parts_.metrics.note("goes on with other settings, which do not change the result:\n" + changed);
    parts_.metrics.note("resumed from " + checkpoint->folder() + " after step " +
                        std::to_string(progress_.step));
  }
  parts_.metrics.rewind(checkpoint ? progress_.step : -1);
}

void Trainer::restore(const Checkpoint& checkpoint) {
  progress_ = parse_progress(checkpoint.state(), options_.fingerprint, options_.config,
                             checkpoint.folder());
  load_weights(checkpoint);
  parts_.optimizer.set_updates(progress_.updates);
  parts_.batches.seek(progress_.data);
}

void Trainer::load_weights(const Checkpoint& checkpoint) {
  together(parts_.mesh.world(), [&] { checkpoint.fill(parts_.optimizer.state()); });
  parts_.optimizer.refresh_values();
  parts_.sharding.gather_parameters();
}

// Back to the last checkpoint from before the steps that failed, and on from there with the data
// behind them. False: there is none.
bool Trainer::rewind() {
  if (options_.output_dir.empty()) return false;
  if (saving_) finish_save(/*must=*/false);
  const Progress bad = progress_;
  const auto checkpoint = open_newest_checkpoint(
      options_.output_dir, parts_.mesh.world(),
      [&](const std::string& line) { parts_.metrics.note(line); },
      bad.step - bad.skipped_in_a_row + 1);
  if (!checkpoint) return false;
  restore(*checkpoint);
  progress_.rewinds = bad.rewinds + 1;
  progress_.data = bad.data;
  parts_.batches.seek(progress_.data);
  parts_.metrics.note(
      fmt::format("steps {} to {} had no finite gradient: back to {}; the data from there to here "
                  "are passed over",
                  bad.step - bad.skipped_in_a_row + 1, bad.step, checkpoint->folder()));
  parts_.metrics.rewind(progress_.step);
  window_ = {};
  return true;
}

bool Trainer::save_is_due(int64_t step, bool last) const {
  const TrainConfig& config = options_.train;
  return (config.save_steps > 0 && (last || step % config.save_steps == 0)) ||
         (step == 1 && config.save_on_first_step);
}

void Trainer::save(bool must) {
  if (options_.output_dir.empty()) return;
  enter(Phase::kSave);
  if (saving_) finish_save(must);
  const std::vector<StateSlice> slices = parts_.optimizer.state();
  const bool in_background = !must && options_.train.save_in_background && copies_fit(slices);
  try {
    saving_.emplace(options_.output_dir, progress_.step, parts_.mesh, slices,
                    dump_progress(progress_, options_.fingerprint, options_.config, options_.settings),
                    in_background);
  } catch (const SaveFailed& error) {
    take_failed_save(progress_.step, error, must);
    return;
  }
  if (!in_background) finish_save(must);
}

bool Trainer::copies_fit(const std::vector<StateSlice>& slices) {
  double bytes = 0;
  for (const StateSlice& slice : slices) bytes += static_cast<double>(slice.values.nbytes());
  const bool tight = bytes > 0.5 * free_memory() / parts_.mesh.world().size();
  return !any(parts_.mesh.world(), tight);
}

void Trainer::finish_save(bool must) {
  const int64_t step = saving_->step();
  enter(Phase::kSave);
  try {
    saving_->finish();
    failed_saves_ = 0;
    saving_.reset();
  } catch (const SaveFailed& error) {
    saving_.reset();
    take_failed_save(step, error, must);
    return;
  }
  parts_.metrics.save_state(counters());
  if (parts_.mesh.world().rank() != 0) return;
  try {
    prune_checkpoints(options_.output_dir, options_.train.save_total_limit, progress_.best_step);
  } catch (const std::exception& error) {
    parts_.metrics.note(std::string("old checkpoints could not be removed: ") + error.what());
  }
}

// It leaves the last checkpoint as it was, so the run goes on, unless there will be no other
// chance.
void Trainer::take_failed_save(int64_t step, const SaveFailed& error, bool must) {
  if (must || ++failed_saves_ >= kMaxFailedSaves) throw SaveFailed(error);
  if (progress_.best_step == step) {
    progress_.best_step = before_best_.step;
    progress_.best_metric = before_best_.metric;
  }
  parts_.metrics.note(std::string(error.what()) + "; training goes on");
}

bool Trainer::is_best(const MetricRow& row) {
  const TrainConfig& config = options_.train;
  // Of the weights before step 1 there is no checkpoint to go back to.
  if (!config.load_best_model_at_end || progress_.step == 0) return false;
  std::string name = config.metric_for_best_model;
  if (!name.starts_with("eval_")) name = "eval_" + name;
  const auto found =
      std::find_if(row.begin(), row.end(), [&](const auto& m) { return m.first == name; });
  if (found == row.end()) {
    std::string names;
    for (const auto& metric : row) names += (names.empty() ? "" : ", ") + metric.first;
    throw std::invalid_argument("train.metric_for_best_model is `" + config.metric_for_best_model +
                                "`; an evaluation measures " + names);
  }
  const double metric = found->second;
  const bool greater = config.greater_is_better == "auto" ? !name.ends_with("loss")
                                                          : config.greater_is_better == "true";
  const bool better = std::isfinite(metric) &&
                      (progress_.best_step == 0 ||
                       (greater ? metric > progress_.best_metric : metric < progress_.best_metric));
  if (!better) return false;
  before_best_ = {.step = progress_.best_step, .metric = progress_.best_metric};
  progress_.best_step = progress_.step;
  progress_.best_metric = metric;
  return true;
}

// With the weights of the best evaluation in the model; the last step's are in their checkpoint.
void Trainer::load_best() {
  const int64_t best = progress_.best_step;
  if (!options_.train.load_best_model_at_end || options_.output_dir.empty() || best == 0) return;
  if (best != progress_.step)
    load_weights(Checkpoint(checkpoint_folder(options_.output_dir, best), parts_.mesh.world()));
  parts_.metrics.note(fmt::format(
      "the best evaluation was after step {}: {} {:.6g}; the model has that step's weights", best,
      options_.train.metric_for_best_model, progress_.best_metric));
}

// A disk that is too full is known before the first step, not after hours.
void Trainer::check_space() {
  const TrainConfig& config = options_.train;
  const auto left = static_cast<double>(total_steps() - progress_.step);
  if (options_.output_dir.empty() || config.save_steps == 0) return;
  double copies = std::ceil(left / static_cast<double>(config.save_steps));
  // One more is there while the newest is written and the oldest not yet removed.
  if (config.save_total_limit > 0)
    copies = std::min(copies, static_cast<double>(config.save_total_limit) + 1);
  require_space(options_.output_dir, parts_.mesh,
                checkpoint_bytes(parts_.mesh, parts_.optimizer.state()), copies);
}

}  // namespace lathe

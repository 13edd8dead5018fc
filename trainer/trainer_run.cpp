#include <chrono>
#include <cmath>

#include "trainer/agree.h"
#include "trainer/trainer.h"

// The run around the steps: when to log, evaluate, save and stop.
namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxSkippedInARow = 3;
constexpr int kMaxFailedSaves = 3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void append(MetricRow& row, const MetricRow& more) {
  row.insert(row.end(), more.begin(), more.end());
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

Trainer::End Trainer::run() {
  resume();
  const TrainConfig& config = options_.train;
  const Clock::time_point start = Clock::now();
  const int64_t first = progress_.step, total = total_steps();
  if (first == 0) log_evaluation();
  while (progress_.step < total) {
    const StepStats stats = timed_step();
    const int64_t step = progress_.step;
    const bool last = step == total;
    if (!stats.applied) note_skipped(stats);
    if (step == 1 || last || due(step, config.logging_steps)) log_step(stats);
    if (last || due(step, config.eval_steps)) log_evaluation();
    // One rank may have been told before the others: they leave together.
    const bool stop =
        !last && any(parts_.mesh.world(), options_.stop_requested && *options_.stop_requested);
    const bool first_save = step == 1 && config.save_on_first_step;
    if (stop || first_save || due(step, config.save_steps) || (last && config.save_steps > 0))
      save(/*must=*/stop || first_save || last);
    if (stop) {
      parts_.metrics.note("stopped after step " + std::to_string(step) +
                          ", checkpoint saved; start again to continue");
      return End::kStopped;
    }
  }
  log_summary(seconds_since(start), progress_.step - first);
  return End::kDone;
}

StepStats Trainer::timed_step() {
  const Clock::time_point start = Clock::now();
  const StepStats stats = step();
  window_.seconds += seconds_since(start);
  window_.data_wait_seconds += parts_.batches.take_wait_seconds();
  window_.tokens += stats.num_tokens;
  ++window_.steps;
  return stats;
}

void Trainer::note_skipped(const StepStats& stats) {
  const std::string step = "step " + std::to_string(progress_.step);
  if (stats.num_targets == 0) {
    parts_.metrics.note(step + ": no rank has a token to train on; no update");
    return;
  }
  parts_.metrics.note(step + ": the gradient is not finite (first in " + not_finite_ +
                      "); no update");
  if (progress_.skipped_in_a_row < kMaxSkippedInARow) return;
  throw NumericStop("gradients were not finite in " + std::to_string(kMaxSkippedInARow) +
                    " steps in a row, up to " + step + " (first in " + not_finite_ + ", loss " +
                    std::to_string(stats.loss) + "); the weights are those of step " +
                    std::to_string(progress_.step - kMaxSkippedInARow));
}

void Trainer::log_step(const StepStats& stats) {
  const auto steps = static_cast<double>(window_.steps);
  MetricRow row{{"epoch", epoch()},
                {"loss", progress_.since_log.value()},
                {"grad_norm", stats.grad_norm},
                {"learning_rate", stats.learning_rate},
                {"num_tokens", static_cast<double>(progress_.num_tokens)},
                {"tokens_per_second", static_cast<double>(window_.tokens) / window_.seconds},
                {"data_wait_seconds", window_.data_wait_seconds / steps},
                {"step_seconds", window_.seconds / steps}};
  if (parts_.take_metrics) append(row, parts_.take_metrics(false));
  parts_.metrics.log_train(progress_.step, total_steps(), row);
  progress_.since_log = {};
  window_ = {};
}

void Trainer::log_evaluation() {
  if (!parts_.eval_batches) return;
  const Clock::time_point start = Clock::now();
  const double loss = evaluate();
  const double seconds = seconds_since(start);
  MetricRow row{{"epoch", epoch()},
                {"eval_loss", loss},
                {"eval_runtime", seconds},
                {"eval_samples_per_second",
                 static_cast<double>(parts_.eval_batches->rows_per_epoch) / seconds},
                {"eval_steps_per_second",
                 static_cast<double>(parts_.eval_batches->steps_per_epoch) / seconds}};
  if (parts_.take_metrics) append(row, parts_.take_metrics(true));
  parts_.metrics.log_eval(progress_.step, row);
}

void Trainer::log_summary(double seconds, int64_t steps) {
  if (steps == 0) {
    parts_.metrics.note("all " + std::to_string(total_steps()) +
                        " steps were taken before; nothing is left to do");
    return;
  }
  const double rows = static_cast<double>(parts_.batches.rows_per_epoch) *
                      static_cast<double>(steps) /
                      static_cast<double>(parts_.batches.steps_per_epoch);
  parts_.metrics.finish(counters(),
                        {{"epoch", epoch()},
                         {"train_runtime", seconds},
                         {"train_samples_per_second", rows / seconds},
                         {"train_steps_per_second", static_cast<double>(steps) / seconds},
                         {"train_loss", progress_.run.value()}});
}

double Trainer::epoch() const {
  return static_cast<double>(progress_.step) / static_cast<double>(parts_.batches.steps_per_epoch);
}

RunCounters Trainer::counters() const {
  const TrainConfig& config = options_.train;
  return {.global_step = progress_.step,
          .max_steps = total_steps(),
          .logging_steps = config.logging_steps,
          .eval_steps = config.eval_steps,
          .save_steps = config.save_steps,
          .train_batch_size = config.per_device_train_batch_size,
          .num_input_tokens_seen = progress_.num_tokens,
          .epoch = epoch(),
          .num_train_epochs = config.num_train_epochs};
}

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
  if (checkpoint) restore(*checkpoint);
  parts_.metrics.rewind(checkpoint ? progress_.step : -1);
}

void Trainer::restore(const Checkpoint& checkpoint) {
  progress_ = parse_progress(checkpoint.state(), options_.fingerprint, options_.config,
                             checkpoint.folder());
  together(parts_.mesh.world(), [&] { checkpoint.fill(parts_.optimizer.state()); });
  parts_.optimizer.set_updates(progress_.updates);
  parts_.optimizer.refresh_values();
  parts_.sharding.gather_parameters();
  parts_.batches.seek(progress_.data);
  parts_.metrics.note("resumed from " + checkpoint.folder() + " after step " +
                      std::to_string(progress_.step));
}

// A save that fails leaves the last checkpoint as it was, so the run goes on, unless there will be
// no other chance.
void Trainer::save(bool must) {
  if (options_.output_dir.empty()) return;
  try {
    save_checkpoint(options_.output_dir, progress_.step, parts_.mesh, parts_.optimizer.state(),
                    dump_progress(progress_, options_.fingerprint, options_.config));
    failed_saves_ = 0;
  } catch (const SaveFailed& error) {
    if (must || ++failed_saves_ >= kMaxFailedSaves) throw;
    parts_.metrics.note(std::string(error.what()) + "; training goes on");
    return;
  }
  parts_.metrics.save_state(counters());
  if (parts_.mesh.world().rank() != 0) return;
  try {
    prune_checkpoints(options_.output_dir, options_.train.save_total_limit);
  } catch (const std::exception& error) {
    parts_.metrics.note(std::string("old checkpoints could not be removed: ") + error.what());
  }
}

}  // namespace lathe

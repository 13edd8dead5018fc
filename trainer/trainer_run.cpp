#include <fmt/core.h>

#include <chrono>
#include <cmath>

#include "trainer/agree.h"
#include "trainer/process_memory.h"
#include "trainer/trainer.h"

// The run around the steps: when to log, evaluate, save and stop.
namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxSkippedInARow = 3, kMaxRewinds = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void append(MetricRow& row, const MetricRow& more) {
  row.insert(row.end(), more.begin(), more.end());
}

bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

// Which rows steps took, for who looks for the records behind them.
std::string place_of(const LoaderState& begin, const LoaderState& end) {
  const auto at = [](const LoaderState& state) {
    return "epoch " + std::to_string(state.epoch) + " row " + std::to_string(state.row);
  };
  return at(begin) + " to " + at(end);
}

}  // namespace

Trainer::End Trainer::run() {
  resume();
  const TrainConfig& config = options_.train;
  const Clock::time_point start = Clock::now();
  const int64_t first = progress_.step, total = total_steps();
  if (first < total) check_space();
  // Before the first step, and where a signal came between.
  if (first == 0 || progress_.evaluation_is_due) log_evaluation();
  if (first == 0 && progress_.evaluation_is_due)
    throw Stopped("stopped before the first step: nothing to save");
  while (progress_.step < total) {
    const StepStats stats = timed_step();
    const int64_t step = progress_.step;
    const bool last = step == total;
    if (!stats.applied && note_skipped(stats)) continue;  // from an earlier checkpoint on
    note_spike(stats);
    if (step == 1 || last || due(step, config.logging_steps))
      log_step(stats);
    else
      parts_.metrics.tick(step, total, stats.loss);
    const bool best = (last || due(step, config.eval_steps)) && log_evaluation();
    if (parts_.show_samples && config.sample_steps > 0 && (last || due(step, config.sample_steps))) {
      enter(Phase::kEval);
      parts_.show_samples(step);
    }
    const bool stop = poll() && (!last || progress_.evaluation_is_due);
    if (stop || best || save_is_due(step, last))
      save(/*must=*/stop || last || (step == 1 && config.save_on_first_step));
    if (stop) {
      parts_.metrics.note("stopped after step " + std::to_string(step) +
                          ", checkpoint saved; start again to continue");
      return End::kStopped;
    }
  }
  if (saving_) finish_save(/*must=*/true);
  log_summary(seconds_since(start), progress_.step - first);
  load_best();
  return End::kDone;
}

// What ranks learn on their own, made known once a step: whether to stop, and whether a save in the
// background is through.
bool Trainer::poll() {
  const bool told = options_.stop_requested && *options_.stop_requested;
  const std::vector<int64_t> counts =
      sum_over(parts_.mesh.world(), {told, saving_ && saving_->written()});
  if (counts[1] == parts_.mesh.world().size()) finish_save(/*must=*/false);
  return counts[0] > 0;
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

// Whether the run went back to an earlier checkpoint.
bool Trainer::note_skipped(const StepStats& stats) {
  const std::string step = "step " + std::to_string(progress_.step);
  if (stats.num_targets == 0) {
    parts_.metrics.note(step + ": no rank has a token to train on; no update");
    return false;
  }
  parts_.metrics.note(step + ": the gradient is not finite (first in " + not_finite_ + ", " +
                      place_of(progress_.last_data, progress_.data) + "); no update");
  if (progress_.skipped_in_a_row < kMaxSkippedInARow) return false;
  if (progress_.rewinds < kMaxRewinds && rewind()) return true;
  throw NumericStop(
      "gradients were not finite in " + std::to_string(kMaxSkippedInARow) +
      " steps in a row, up to " + step + " (" + place_of(progress_.bad_data, progress_.data) +
      "; first in " + not_finite_ + ", loss " + std::to_string(stats.loss) + ")" +
      (progress_.rewinds > 0 ? ", after going back " + std::to_string(progress_.rewinds) + " times"
                             : "") +
      "; the weights are those of step " + std::to_string(progress_.step - kMaxSkippedInARow));
}

void Trainer::note_spike(const StepStats& stats) {
  if (!stats.applied) return;
  if (const auto spike = loss_watch_.see(stats.loss)) {
    parts_.metrics.note(fmt::format(
        "step {}: the loss {:.4f} stands out from the {:.4f} before it ({}, grad_norm {:.3g})",
        progress_.step, stats.loss, spike->usual, place_of(progress_.last_data, progress_.data),
        stats.grad_norm));
  }
}

void Trainer::log_step(const StepStats& stats) {
  const auto steps = static_cast<double>(window_.steps);
  const double rate = static_cast<double>(window_.tokens) / window_.seconds;
  MetricRow row{{"epoch", epoch()},
                {"loss", progress_.since_log.value()},
                {"grad_norm", stats.grad_norm},
                {"learning_rate", stats.learning_rate},
                {"num_tokens", static_cast<double>(progress_.num_tokens)},
                {"tokens_per_second", rate},
                {"data_wait_seconds", window_.data_wait_seconds / steps},
                {"step_seconds", window_.seconds / steps},
                {"memory_gib", resident_bytes() / (1 << 30)}};
  if (options_.gemm_flops > 0)
    row.emplace_back("gemm_share", rate * options_.flops_per_token / options_.gemm_flops);
  if (parts_.take_metrics) append(row, parts_.take_metrics(false));
  parts_.metrics.log_train(progress_.step, total_steps(), row);
  progress_.since_log = {};
  window_ = {};
}

// Whether it was the best so far. A signal ends it; it is made up for later.
bool Trainer::log_evaluation() {
  if (!parts_.eval_batches) return false;
  progress_.evaluation_is_due = true;
  const Clock::time_point start = Clock::now();
  double loss = 0;
  try {
    loss = evaluate();
  } catch (const Stopped&) {
    return false;
  }
  progress_.evaluation_is_due = false;
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
  return is_best(row);
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
          .num_train_epochs = config.num_train_epochs,
          .best_step = progress_.best_step,
          .best_metric = progress_.best_metric,
          .best_checkpoint = progress_.best_step == 0
                                 ? ""
                                 : checkpoint_folder(options_.output_dir, progress_.best_step)};
}

}  // namespace lathe

#pragma once

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "parallel/rank_log.h"
#include "parallel/sharding.h"
#include "trainer/batch_source.h"
#include "trainer/checkpoint.h"
#include "trainer/loss_watch.h"
#include "trainer/metrics.h"
#include "trainer/model.h"
#include "trainer/objective/objective.h"
#include "trainer/optimizer.h"
#include "trainer/progress.h"
#include "trainer/schedule.h"

// Runs steps: takes batches, makes gradients, updates, measures, saves.
namespace lathe {

struct TrainConfig {
  double num_train_epochs = 1;
  int64_t max_steps = 0;
  int64_t per_device_train_batch_size = 8;
  int64_t per_device_eval_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  int64_t global_batch_size = 0;
  int64_t logging_steps = 10;
  int64_t eval_steps = 0;
  int64_t save_steps = 500;
  bool save_on_first_step = false;
  bool save_in_background = true;
  int64_t save_total_limit = 2;
  bool load_best_model_at_end = false;
  std::string metric_for_best_model = "eval_loss";
  std::string greater_is_better = "auto";
  std::string resume_from_checkpoint = "auto";
  double neftune_noise_alpha = 0;
  std::string gradient_checkpointing = "false";
  int64_t sample_steps = 0;
  int64_t num_samples = 3;
  double price_per_hour = 0;
};

template <class V>
void fields(V& v, TrainConfig& c) {
  v("num_train_epochs", c.num_train_epochs, "passes over the data", above(0));
  v("max_steps", c.max_steps, "stop after this many steps; 0: as the epochs say", at_least(0));
  v("per_device_train_batch_size", c.per_device_train_batch_size, "rows of a micro-batch",
    at_least(1));
  v("per_device_eval_batch_size", c.per_device_eval_batch_size, "rows of an evaluation batch",
    at_least(1));
  v("gradient_accumulation_steps", c.gradient_accumulation_steps, "micro-batches of a step",
    at_least(1));
  v("global_batch_size", c.global_batch_size,
    "rows of a step over all ranks; wins over gradient_accumulation_steps; 0: not given",
    at_least(0));
  v("logging_steps", c.logging_steps, "steps between two lines of metrics", at_least(1));
  v("eval_steps", c.eval_steps, "steps between two evaluations; 0: only before and after",
    at_least(0));
  v("save_steps", c.save_steps, "steps between two checkpoints; 0: none", at_least(0));
  v("save_on_first_step", c.save_on_first_step,
    "save after step 1 too: a disk that cannot hold a checkpoint is known early");
  v("save_total_limit", c.save_total_limit, "checkpoints that are kept; 0: all", at_least(0));
  v("save_in_background", c.save_in_background,
    "training goes on while a checkpoint is written, from a copy, where memory has room for one");
  v("load_best_model_at_end", c.load_best_model_at_end,
    "save after every evaluation that is the best so far, never delete that checkpoint, and end "
    "with its weights");
  v("metric_for_best_model", c.metric_for_best_model,
    "what tells the best evaluation: a metric of it, with or without eval_");
  v("greater_is_better", c.greater_is_better,
    "whether more of metric_for_best_model is better; auto: unless its name ends with loss",
    one_of({"auto", "true", "false"}));
  v("resume_from_checkpoint", c.resume_from_checkpoint,
    "auto: the newest complete one in output_dir; never; or a folder");
  v("neftune_noise_alpha", c.neftune_noise_alpha,
    "noise on the embeddings while training: uniform, alpha / sqrt(length x width); 0: none",
    at_least(0));
  v("gradient_checkpointing", c.gradient_checkpointing,
    "activations that backward computes again: false: none; true: of whole blocks; selective: all "
    "but attention's",
    one_of({"false", "true", "selective"}));
  v("sample_steps", c.sample_steps,
    "steps between two looks at what the model says: greedy completions of the first documents of "
    "data.eval, else data.train; 0: none",
    at_least(0));
  v("num_samples", c.num_samples, "how many documents those are", between(1, 64));
  v("price_per_hour", c.price_per_hour,
    "of all machines of the run, in any currency, for the estimated cost in run.json; 0: not known",
    at_least(0));
}

struct StepStats {
  double loss = 0;       // mean over the step's targets, of all ranks
  double grad_norm = 0;  // before clipping
  double learning_rate = 0;
  int64_t num_targets = 0;  // of all ranks
  int64_t num_tokens = 0;   // processed: what documents share (Batch::shared) counts once
  bool applied = true;  // false: no target, or a gradient that is not finite: nothing changed
};

// Gradients were not finite, step after step. The weights are those of the last good step.
struct NumericStop : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Trainer {
 public:
  struct Parts {
    Mesh& mesh;
    Model& model;
    Objective objective;
    Sharding& sharding;
    Optimizer& optimizer;
    BatchSource batches;
    std::optional<BatchSource> eval_batches = std::nullopt;  // rows in order, each once an epoch
    Metrics& metrics;
    Objective eval_objective = {};  // empty: the objective itself
    // What the objective measured besides, since it was last asked, after training or evaluation.
    std::function<MetricRow(bool evaluation)> take_metrics = {};
    std::function<void(int64_t step)> show_samples = {};  // collective
  };
  struct Options {
    TrainConfig train = {};
    ScheduleConfig schedule = {};
    double learning_rate = 0;  // peak
    double max_grad_norm = 1;
    uint64_t seed = 0;               // of dropout and noise
    double neftune_noise_alpha = 0;  // 0: none
    std::string output_dir = {};     // "": nothing is saved or resumed
    std::string fingerprint = {};  // of what must not change within a run: a checkpoint of another
                                   // one is refused
    std::string config = {};       // the text behind it, for the message
    std::string settings = {};     // what may change, a line each: changes are told
    const std::atomic<bool>* stop_requested = nullptr;
    RankLog* log = nullptr;  // told the phase and the step, for those who watch this rank
    // For the share of the speed of matrix products; 0: not shown. gemm_flops: of all ranks.
    double flops_per_token = 0, gemm_flops = 0;
  };

  Trainer(Parts parts, Options options);

  // One optimiser update. Every rank calls it; every rank returns the same StepStats.
  StepStats step();
  // Steps, logs, evaluates and saves until done. Resumes first, as the options say. kStopped: a
  // stop was requested, and the checkpoint is written. Throws Stopped before the first step.
  enum class End { kDone, kStopped };
  End run();
  // Mean loss over the evaluation data, every item once, equal on all ranks.
  double evaluate();
  int64_t total_steps() const;
  const Progress& progress() const { return progress_; }

 private:
  // Counts of a step, over all ranks.
  struct Counts {
    int64_t targets = 0, tokens = 0;
  };
  // What the steps since the last logged one took.
  struct Window {
    double seconds = 0, data_wait_seconds = 0;
    int64_t steps = 0, tokens = 0;
  };

  void enter(Phase phase);
  std::vector<Batch> take_batches();
  StepNoise noise() const;
  Counts count(const std::vector<Batch>& batches);
  at::Tensor loss_of(const Objective& objective, const Batch& batch);
  double measure_gradients();
  StepStats finish_step(at::Tensor loss, double norm, double learning_rate, Counts counts,
                        bool applied);

  StepStats timed_step();
  bool note_skipped(const StepStats& stats);
  bool poll();
  void note_spike(const StepStats& stats);
  void log_step(const StepStats& stats);
  bool log_evaluation();
  void log_summary(double seconds, int64_t steps);
  double epoch() const;
  RunCounters counters() const;

  void resume();
  void restore(const Checkpoint& checkpoint);
  void load_weights(const Checkpoint& checkpoint);
  bool rewind();
  bool save_is_due(int64_t step, bool last) const;
  void save(bool must);
  bool copies_fit(const std::vector<StateSlice>& slices);
  void finish_save(bool must);
  void take_failed_save(int64_t step, const SaveFailed& error, bool must);
  bool is_best(const MetricRow& row);
  void load_best();
  void check_space();

  Parts parts_;
  Options options_;
  Progress progress_;
  Window window_;
  LossWatch loss_watch_;
  std::string not_finite_;  // the first tensor whose gradient was not finite in this step
  std::optional<CheckpointSave> saving_;  // in the background
  int failed_saves_ = 0;
  // What was best before the newest best: counts again if that one can not be saved.
  struct Best {
    int64_t step = 0;
    double metric = 0;
  } before_best_;
};

}  // namespace lathe

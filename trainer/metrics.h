#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trainer/console.h"

// What is measured, to three places: the console, metrics.jsonl (one object per logged step, floats
// that read back exactly) and TensorBoard events (Hugging Face's names: train/loss, eval/loss).
// Only rank 0 makes one that writes.
//
// Every row is written out at once: what was printed is in the file. Not finite numbers are null,
// as JSON has none.
namespace lathe {

// The counters of Hugging Face's trainer_state.json.
struct RunCounters {
  int64_t global_step = 0, max_steps = 0, logging_steps = 0, eval_steps = 0, save_steps = 0,
          train_batch_size = 0;
  int64_t num_input_tokens_seen = 0;
  double epoch = 0, num_train_epochs = 0;
  int64_t best_step = 0;  // 0: no evaluation was chosen
  double best_metric = 0;
  std::string best_checkpoint = {};
};

class Metrics {
 public:
  // output_dir "": nothing is written or printed (other ranks, tests).
  explicit Metrics(const std::string& output_dir, bool console = true);
  ~Metrics();
  void log_train(int64_t step, int64_t total_steps, const MetricRow& row);  // keys without prefix
  // A bar between two lines, on a terminal only.
  void tick(int64_t step, int64_t total_steps, double loss);
  void log_eval(int64_t step, const MetricRow& row);  // keys as eval_loss, ...
  void note(const std::string& line);                 // a sentence for the console
  // trainer_state.json as Hugging Face writes it (log_history and counters).
  void save_state(const RunCounters& counters);
  // The closing summary: train_runtime, train_loss, ...; then the state.
  void finish(const RunCounters& counters, const MetricRow& summary);
  // Forgets what was logged after `step`: a resumed run logs those steps again. Called
  // before the first row, and when a run goes back to a checkpoint; a run that does not resume
  // calls it with -1.
  void rewind(int64_t step);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// {"step": 100, "epoch": 0.42, ...}: numbers in the shortest form that reads back exactly.
std::string json_line(int64_t step, const MetricRow& row);

}  // namespace lathe

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

// What is measured, to three places: the console, metrics.jsonl (one object per logged step, floats that read back
// exactly) and TensorBoard events (Hugging Face's names: train/loss, eval/loss). Only rank 0 makes one that writes.
namespace lathe {

using MetricRow = std::vector<std::pair<std::string, double>>;  // in the order shown

class Metrics {
 public:
  // output_dir "": nothing is written or printed (other ranks, tests).
  explicit Metrics(const std::string& output_dir, bool console = true);
  ~Metrics();
  void log_train(int64_t step, int64_t total_steps, const MetricRow& row);  // keys without prefix
  void log_eval(int64_t step, const MetricRow& row);                        // keys as eval_loss, ...
  void note(const std::string& line);                                       // a sentence for the console
  // trainer_state.json as Hugging Face writes it (log_history and counters), the closing summary.
  void finish(int64_t step, const MetricRow& summary);
  // Forgets what was logged after `step`: a resumed run logs those steps again.
  void rewind(int64_t step);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/loader/batch.h"
#include "data/shards/dataset.h"

// This rank's stream of Batch out of data sets of token shards. Which row is the k-th of an epoch is a pure function of
// (seed, epoch, k): never of ranks, threads or history. So the position is two integers and seek costs nothing.
namespace lathe {

enum class Packing { kOff, kBestFit, kWrapped };  // one document per row | best fit decreasing | concatenate and cut

struct LoaderOptions {
  int64_t max_length = 1024;  // tokens of a row; longer documents were cut when they were prepared, else split here
  Packing packing = Packing::kBestFit;
  bool shuffle = true;
  uint64_t seed = 0;
  int64_t rows_per_micro_batch = 8;  // per_device_train_batch_size
  int64_t micro_batches = 1;         // per step and rank: gradient_accumulation_steps
  int rank = 0, size = 1;            // place on the dp axis
  int prefetch = 2;                  // steps made ahead on a thread; 0: none
  std::string column = "sequence";
};

struct LoaderState {
  int64_t epoch = 0;
  int64_t row = 0;  // rows of this epoch already taken, by all ranks together
  bool operator==(const LoaderState&) const = default;
};

// Padding share and counts of the plan, for the report at the start.
struct PackingReport {
  int64_t documents = 0, tokens = 0, targets = 0, rows = 0;
  double waste = 0;  // 1 - tokens / (rows x max_length)
};

class Loader {
 public:
  // Throws std::invalid_argument when the data sets hold no row.
  Loader(std::vector<std::shared_ptr<const Dataset>> datasets, std::vector<double> weights, LoaderOptions options);
  ~Loader();

  // This rank's micro-batches of the next step, exactly `micro_batches` of them. Steps never cross an epoch: the last of
  // an epoch may have fewer rows, so some of its batches may be short or empty.
  std::vector<Batch> next();

  int64_t rows_per_epoch() const;
  int64_t steps_per_epoch() const;
  PackingReport report() const;
  // The position after the last step that next() returned (what was made ahead does not count).
  LoaderState state() const;
  void seek(LoaderState state);
  // Seconds that next() has waited for the prefetch thread since the last call of this function.
  double take_wait_seconds();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/loader/batch.h"
#include "data/loader/curriculum.h"
#include "data/loader/packing.h"
#include "data/shards/dataset.h"

// This rank's stream of Batch out of data sets of token shards. Which row is the k-th of an epoch
// is a pure function of (seed, epoch, k): never of ranks, threads or history. So the position is
// two integers and seek costs nothing.
//
// A step takes the next size x micro_batches x rows_per_micro_batch rows of the epoch; rank r's
// micro-batch m holds rows
// [(r x micro_batches + m) x rows_per_micro_batch, ...) of them.
//
// A data set of n documents and weight w gives round(w x n) documents to every epoch: all of them
// floor(w) times, and a sample of them once more. The sample is chosen by the seed alone, so every
// epoch has the same rows, in another order.
//
// With a curriculum every stage has rows of its own. Epochs are counted on over all stages; a stage
// ends with the step before the next one's first, and cuts its last epoch short where it must.
namespace lathe {

enum class DocumentOrder { kNone, kAscending, kDescending };

struct LoaderOptions {
  int64_t max_length =
      1024;  // tokens of a row; longer documents were cut when they were prepared, else split here
  Packing packing = Packing::kBestFit;
  bool shuffle = true;
  // Instead of shuffling: every epoch goes through all documents by their scalar "order", equals as
  // they stand, copies one behind the other. kBestFit, which would mix them, becomes kNextFit.
  DocumentOrder order = DocumentOrder::kNone;
  uint64_t seed = 0;
  int64_t rows_per_micro_batch = 8;  // per_device_train_batch_size
  int64_t micro_batches = 1;         // per step and rank: gradient_accumulation_steps
  int rank = 0, size = 1;            // place on the dp axis
  int prefetch = 2;                  // steps made ahead on a thread; 0: none
  Curriculum curriculum;             // its weights replace the loader's where it has stages
  // What a row is made of: one column; or chosen and rejected, whole pairs, one a row, of which the
  // second goes on behind what both begin with (Batch::shared).
  std::vector<std::string> columns = {"sequence"};
  // Preferences: the scalar that says whether an answer is good ("": none); rows are then whole
  // documents, one a row. mismatched: also make, for each prompt of a step, a document of it and of
  // the answer before it in the step (the first with the last).
  std::string label;
  bool mismatched = false;
  bool preferences() const { return columns.size() > 1 || !label.empty(); }
};

struct LoaderState {
  int64_t epoch = 0;
  int64_t row = 0;  // rows of this epoch already taken, by all ranks together
  // Of a curriculum's stages, in rows, and of an order of documents; 0: there is none. A position of
  // others is refused.
  uint64_t stages = 0;
  bool operator==(const LoaderState&) const = default;
};

// A stage of the curriculum as it comes out.
struct LoaderStage {
  int64_t first_step = 0, first_epoch = 0;
  int64_t rows_per_epoch = 0, documents = 0;
};

// Padding share and counts of one epoch, for the report at the start. documents: repeats by weights
// counted, empty ones not. targets: what the batches of an epoch count; a document that is split
// loses one per cut.
struct PackingReport {
  int64_t documents = 0, tokens = 0, targets = 0, rows = 0;
  double waste = 0;  // 1 - tokens / (rows x max_length)
};

class Loader {
 public:
  // weights: one per data set, or none (all 1). Throws std::invalid_argument when the data sets
  // hold no row, a weight is negative or not finite, or an option makes no sense.
  Loader(std::vector<std::shared_ptr<const Dataset>> datasets, std::vector<double> weights,
         LoaderOptions options);
  ~Loader();

  // This rank's micro-batches of the next step, exactly `micro_batches` of them. Steps never cross
  // an epoch: the last of an epoch may have fewer rows, so some of its batches may be short or
  // empty. What the prefetch thread ran into is thrown here, in its place, and again until seek().
  std::vector<Batch> next();

  // These three are of the first stage.
  int64_t rows_per_epoch() const;
  int64_t steps_per_epoch() const;
  PackingReport report() const;             // reads every mask once
  std::vector<LoaderStage> stages() const;  // none without a curriculum
  // The position after the last step that next() returned (what was made ahead does not count).
  // After the last step of an epoch it is row 0 of the next.
  LoaderState state() const;
  // std::invalid_argument when the epoch has no such row: the state is of other data or other
  // packing; or of other stages, or steps of another size under the same ones.
  void seek(LoaderState state);
  // Seconds that next() has waited for the prefetch thread since the last call of this function.
  double take_wait_seconds();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

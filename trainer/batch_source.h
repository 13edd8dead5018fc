#pragma once

#include <functional>
#include <vector>

#include "data/loader/loader.h"

// Where a Trainer takes its micro-batches from: a Loader, or anything else that can be put to a
// position exactly (pairs, generated answers, a test's own batches). What the functions refer to
// must outlive the source.
namespace lathe {

struct BatchSource {
  // This rank's micro-batches of the next step; as many on every rank. Without end: the next epoch
  // follows the last.
  std::function<std::vector<Batch>()> next;
  std::function<LoaderState()> state;  // the position after the last step that next() returned
  std::function<void(LoaderState)> seek;
  std::function<double()>
      take_wait_seconds;  // that next() waited for data, since this was last called
  int64_t steps_per_epoch = 0;
  int64_t rows_per_epoch = 0;  // of all ranks together
};

BatchSource batches_of(Loader& loader);

}  // namespace lathe

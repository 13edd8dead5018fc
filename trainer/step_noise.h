#pragma once

#include <cstdint>

#include "data/loader/batch.h"

// What is random in the forwards of one step, as a pure function of (seed, step) and of the
// documents: never of ranks, rows or micro-batches.
namespace lathe {

struct StepNoise {
  uint64_t seed = 0;
  int64_t step = 0;
  double neftune_alpha = 0;  // noise on the embeddings (Jain et al. 2023, arXiv:2310.05914)
};

// [T] int64: a number of each token, from the step, from all of its document and from its place in
// it. (Two equal documents of a step get the same numbers; a beginning that is shared has those of
// the document it was laid with.)
at::Tensor token_keys(const Batch& batch, const StepNoise& noise);

}  // namespace lathe

#pragma once

#include "trainer/plan/layout.h"

namespace lathe {

// Bytes of the rank of a layout that holds most, at the step's highest point. Not in it: a background save's copy of the
// rank's state (save_in_background), evaluation with larger batches, and generation.
struct MemoryEstimate {
  double program = 0;      // libraries, contexts of devices and of communication
  double weights = 0;      // as products use them
  double gradients = 0;    // float32
  double optimizer = 0;    // masters and moments
  double buffers = 0;      // ZeRO 2 and 3: the units that are whole at a time
  double activations = 0;  // kept for backward, and backward's own
  double logits = 0;       // of the chunks of the vocabulary head

  double total() const { return program + weights + gradients + optimizer + buffers + activations + logits; }
};

MemoryEstimate estimate_memory(const PlannedRun& run, const ModelShapes& shapes, const Layout& layout, double program);

}  // namespace lathe

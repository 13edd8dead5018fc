#pragma once

#include <vector>

#include "trainer/plan/memory.h"
#include "trainer/plan/time.h"

namespace lathe {

struct PlannedLayout {
  Layout layout;
  MemoryEstimate memory;
  TimeEstimate time;
  bool fits = false;  // with kMemoryMargin to spare
};

// The share of a rank's memory that a plan leaves free: what fragments, and what was not thought of.
inline constexpr double kMemoryMargin = 0.08;

PlannedLayout plan_layout(const PlannedRun& run, const Layout& layout, const Hardware& hardware);

// Every layout of so many ranks that the model and the rows of a step allow: dp x tp, zero 0-3, checkpointing, each with
// the largest micro-batch that fits. The best first: what fits before what does not; then the fastest, and of those
// within a hundredth the plainest (less checkpointing, less zero, less tp); what does not fit by its memory.
// std::invalid_argument when there is none.
std::vector<PlannedLayout> plan_layouts(const PlannedRun& run, int64_t ranks, const Hardware& hardware);

}  // namespace lathe

#include "trainer/plan/choose.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <tuple>

namespace lathe {
namespace {

// Of a pass; products gain nothing from more.
constexpr int64_t kEnoughTokens = 16384;

std::optional<ModelShapes> shapes_if_cut(const PlannedRun& run, int64_t tp) {
  try {
    return measure_shapes(run, tp);
  } catch (const std::invalid_argument&) {
    if (tp == 1) throw;
    return std::nullopt;  // heads that can not be dealt out
  }
}

PlannedLayout planned(const PlannedRun& run, const ModelShapes& shapes, const Layout& layout, const Hardware& hardware) {
  PlannedLayout p{.layout = layout,
                  .memory = estimate_memory(run, shapes, layout, hardware.program_bytes),
                  .time = estimate_time(run, shapes, layout, hardware)};
  p.fits = p.memory.total() <= hardware.memory_bytes * (1 - kMemoryMargin);
  return p;
}

// The largest micro-batch that fits, of powers of two rows; else one row.
PlannedLayout with_micro_batch(const PlannedRun& run, const ModelShapes& shapes, Layout layout, const Hardware& hardware) {
  const int64_t rows = run.rows / layout.dp;
  if (run.optimizer.optimizer_in_bwd) {  // a step is one micro-batch
    layout.micro_rows = rows;
    return planned(run, shapes, layout, hardware);
  }
  PlannedLayout best;
  for (int64_t micro = 1; micro == 1 || micro * run.row_tokens <= kEnoughTokens; micro *= 2) {
    if (rows % micro != 0) break;
    layout.micro_rows = micro;
    layout.accumulation = rows / micro;
    const PlannedLayout p = planned(run, shapes, layout, hardware);
    if (micro == 1 || p.fits) best = p;
  }
  return best;
}

// One for each way of keeping state and activations, of one way of cutting.
void add_layouts(const PlannedRun& run, const ModelShapes& shapes, Layout layout, const Hardware& hardware,
                 std::vector<PlannedLayout>& into) {
  const int least = run.optimizer.optimizer_in_bwd && layout.dp > 1 ? 2 : 0;  // it has gradients cut in any case
  for (layout.zero = least; layout.zero <= (layout.dp > 1 ? 3 : 0); ++layout.zero) {
    for (Checkpointing mode : {Checkpointing::kOff, Checkpointing::kSelective, Checkpointing::kBlock}) {
      layout.checkpointing = mode;
      into.push_back(with_micro_batch(run, shapes, layout, hardware));
    }
  }
}

// Layouts whose seconds differ by less than a hundredth are as fast as each other.
std::tuple<Checkpointing, int, int64_t, double> plainness(const PlannedLayout& p) {
  return {p.layout.checkpointing, p.layout.zero, p.layout.tp, p.memory.total()};
}

}  // namespace

PlannedLayout plan_layout(const PlannedRun& run, const Layout& layout, const Hardware& hardware) {
  return planned(run, measure_shapes(run, layout.tp), layout, hardware);
}

std::vector<PlannedLayout> plan_layouts(const PlannedRun& run, int64_t ranks, const Hardware& hardware) {
  std::vector<PlannedLayout> all;
  bool divides = false;
  for (int64_t tp = 1; tp <= std::min(ranks, hardware.ranks_per_host); ++tp) {
    if (ranks % tp != 0 || run.rows % (ranks / tp) != 0) continue;
    divides = true;
    const std::optional<ModelShapes> shapes = shapes_if_cut(run, tp);
    if (shapes) add_layouts(run, *shapes, {.dp = ranks / tp, .tp = tp}, hardware, all);
  }
  if (all.empty()) {
    throw std::invalid_argument(
        divides ? "the model's heads can not be dealt out over " + std::to_string(ranks) + " ranks; take another number"
                : "a step of " + std::to_string(run.rows) + " rows can not be shared by " + std::to_string(ranks) +
                      " ranks with tp up to " + std::to_string(hardware.ranks_per_host) +
                      "; give --rows a multiple of the data-parallel ranks");
  }
  const auto fitting = std::stable_partition(all.begin(), all.end(), [](const PlannedLayout& p) { return p.fits; });
  std::sort(all.begin(), fitting, [](const auto& a, const auto& b) { return a.time.total() < b.time.total(); });
  // Groups of equally fast ones, from the fastest on.
  for (auto begin = all.begin(); begin != fitting;) {
    const double limit = begin->time.total() * 1.01;
    const auto end = std::find_if(begin, fitting, [&](const PlannedLayout& p) { return p.time.total() > limit; });
    std::sort(begin, end, [](const auto& a, const auto& b) { return plainness(a) < plainness(b); });
    begin = end;
  }
  std::sort(fitting, all.end(), [](const auto& a, const auto& b) { return a.memory.total() < b.memory.total(); });
  return all;
}

}  // namespace lathe

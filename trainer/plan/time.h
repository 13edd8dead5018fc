#pragma once

#include <string>
#include <vector>

#include "trainer/plan/layout.h"

namespace lathe {

// What a rank runs on and how ranks are joined. Speeds are those that large products and large messages reach, not the
// makers' peaks.
struct Hardware {
  std::string name;
  double memory_bytes = 0;       // of a rank
  double gemm_flops = 0;         // products in bf16, per second
  double memory_bandwidth = 0;   // bytes per second
  double local_bandwidth = 0;    // bytes per second and rank, within a host
  double network_bandwidth = 0;  // the same between hosts
  double program_bytes = 0;      // libraries and contexts
  int64_t ranks_per_host = 8;
};

// The table of known ones: a100, a100-40gb, h100, h200, l40s.
const std::vector<Hardware>& known_hardware();
// std::invalid_argument with the table's names.
Hardware find_hardware(const std::string& name);

// The share of gemm_flops that a step's products reach, with all that is between them.
inline constexpr double kGemmShare = 0.65;

// Seconds of a step. Nothing is taken to overlap.
struct TimeEstimate {
  double compute = 0;    // products and attention
  double optimizer = 0;  // reading and writing gradients, masters, moments
  double over_dp = 0, over_tp = 0;

  double total() const { return compute + optimizer + over_dp + over_tp; }
};

TimeEstimate estimate_time(const PlannedRun& run, const ModelShapes& shapes, const Layout& layout, const Hardware& hardware);

}  // namespace lathe

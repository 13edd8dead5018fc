#include "trainer/plan/time.h"

#include <stdexcept>

namespace lathe {
namespace {

constexpr double kGB = 1e9, kTera = 1e12;
constexpr double kContexts = 1.6 * kGB;  // a device's context, the libraries' kernels and workspaces, NCCL's buffers

// Seconds of a ring over so many ranks, each of which ends with `bytes`, or begins with it.
double ring(double bytes, int64_t ranks, double bandwidth) {
  return static_cast<double>(ranks - 1) / static_cast<double>(ranks) * bytes / bandwidth;
}

// Neighbours in the world share a tp group; dp runs across them.
double dp_bandwidth(const Layout& layout, const Hardware& hardware) {
  return layout.ranks() <= hardware.ranks_per_host ? hardware.local_bandwidth : hardware.network_bandwidth;
}

double tp_bandwidth(const Layout& layout, const Hardware& hardware) {
  return layout.tp <= hardware.ranks_per_host ? hardware.local_bandwidth : hardware.network_bandwidth;
}

// Of a token: the products' and, causal within its row, attention's; forward once more where backward repeats it.
double flops_of_token(const PlannedRun& run, const ModelShapes& s, const Layout& layout) {
  const double attention = 6.0 * static_cast<double>(s.layers * s.queries * layout.tp * run.row_tokens);
  switch (layout.checkpointing) {
    case Checkpointing::kOff: return s.flops_per_token + attention;
    case Checkpointing::kBlock: return (s.flops_per_token + attention) * 4 / 3;
    case Checkpointing::kSelective: return s.flops_per_token * 4 / 3 + attention;
  }
  return 0;
}

double dp_seconds(const PlannedRun& run, const ModelShapes& s, const Layout& layout, double bandwidth) {
  const double gradients = 4 * static_cast<double>(s.trained);
  const double values = static_cast<double>(c10::elementSize(run.dtype));
  const double reduced = ring(gradients, layout.dp, bandwidth);
  const double updated = ring(values * static_cast<double>(s.trained), layout.dp, bandwidth);
  const auto passes = static_cast<double>(layout.accumulation);
  switch (layout.zero) {
    case 0: return 2 * reduced;
    case 1: return reduced + updated;
    case 2: return passes * reduced + updated;
    default: return passes * (reduced + 2 * ring(values * static_cast<double>(s.weights), layout.dp, bandwidth));
  }
}

// Two sums of [T, H] a layer in each direction, two at the ends; forward's again where it is repeated.
double tp_seconds(const PlannedRun& run, const ModelShapes& s, const Layout& layout, double bandwidth) {
  const double sum = 2 * ring(static_cast<double>(layout.micro_rows * run.row_tokens * s.hidden) *
                                  static_cast<double>(c10::elementSize(run.dtype)),
                              layout.tp, bandwidth);
  const double directions = layout.checkpointing == Checkpointing::kOff ? 2 : 3;
  return static_cast<double>(layout.accumulation) * sum * (2 * static_cast<double>(s.layers) * directions + 2);
}

}  // namespace

const std::vector<Hardware>& known_hardware() {
  // Large products as measured where published (H200: 790 of 989 TFLOP/s), else 80 % of the peak; NVLink 80 % of a
  // direction; 400 and 200 Gbit/s a rank between hosts, 80 % of it.
  static const std::vector<Hardware> table = {
      {"a100", 80 * kGB, 250 * kTera, 1.6e12, 240 * kGB, 20 * kGB, kContexts},
      {"a100-40gb", 40 * kGB, 250 * kTera, 1.3e12, 240 * kGB, 20 * kGB, kContexts},
      {"h100", 80 * kGB, 750 * kTera, 2.7e12, 360 * kGB, 40 * kGB, kContexts},
      {"h200", 141 * kGB, 790 * kTera, 3.8e12, 360 * kGB, 40 * kGB, kContexts},
      {"l40s", 48 * kGB, 290 * kTera, 0.7e12, 25 * kGB, 20 * kGB, kContexts},
  };
  return table;
}

Hardware find_hardware(const std::string& name) {
  std::string known;
  for (const Hardware& each : known_hardware()) {
    if (each.name == name) return each;
    known += (known.empty() ? "" : ", ") + each.name;
  }
  throw std::invalid_argument("--gpu is \"" + name + "\"; known: cpu (this machine, measured), " + known);
}

TimeEstimate estimate_time(const PlannedRun& run, const ModelShapes& s, const Layout& layout, const Hardware& hardware) {
  const auto ranks = static_cast<double>(layout.ranks());
  const double tokens = static_cast<double>(run.rows * run.row_tokens);
  // fp32 products are taken to be half as fast; a processor's speed was measured in the type itself.
  const double slower = run.dtype == at::kFloat && hardware.name != "cpu" ? 2 : 1;
  TimeEstimate t;
  t.compute = tokens * flops_of_token(run, s, layout) * slower / (ranks * hardware.gemm_flops * kGemmShare);
  // Gradient, master and two moments are read, the latter three and the value written.
  const double owned = static_cast<double>(s.trained) / (layout.zero >= 1 ? static_cast<double>(layout.dp) : 1);
  t.optimizer = owned * (7 * 4 + static_cast<double>(c10::elementSize(run.dtype))) / hardware.memory_bandwidth;
  t.over_dp = dp_seconds(run, s, layout, dp_bandwidth(layout, hardware));
  t.over_tp = tp_seconds(run, s, layout, tp_bandwidth(layout, hardware));
  return t;
}

}  // namespace lathe

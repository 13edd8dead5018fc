#include "trainer/optimizer.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "trainer/optimizers/blockwise.h"
#include "trainer/optimizers/optimizers.h"

namespace lathe {
namespace {

struct Kind {
  std::string_view name;
  std::unique_ptr<Optimizer> (*make)(const OptimizerConfig&, Sharding&);
  bool whole_parameters = false;
  int64_t alignment = kBucketAlign;
};

constexpr std::array kKinds{
    Kind{"adamw", make_adamw},
    Kind{"adamw_8bit", make_packed_adamw, false, kStateBlock},
    Kind{"sgd", make_sgd},
    Kind{"lion", make_lion},
    Kind{"adafactor", make_adafactor, true},
    Kind{"muon", make_muon, true},
};

const Kind& kind_of(const OptimizerConfig& config) {
  const auto kind = std::ranges::find(kKinds, config.optim, &Kind::name);
  if (kind != kKinds.end()) return *kind;
  std::string known;
  for (const Kind& each : kKinds) known += (known.empty() ? "" : ", ") + std::string(each.name);
  throw std::invalid_argument("optimizer.optim is \"" + config.optim + "\"; expected one of " +
                              known);
}

void check_slices(const Kind& kind, Sharding& sharding) {
  for (const Slice& slice : sharding.slices()) {
    int64_t whole = 1;
    for (const int64_t size : slice.shape) whole *= size;
    const bool cut = slice.value.numel() != whole || !slice.cut.is_whole();
    if (kind.whole_parameters && cut) {
      throw std::invalid_argument("optimizer.optim " + std::string(kind.name) +
                                  " looks at whole matrices, but " + slice.name +
                                  " is cut over ranks; use parallel.zero: 0 and parallel.tp: 1");
    }
    if (kind.alignment != kBucketAlign && !slice.cut.is_whole()) {
      throw std::invalid_argument("optimizer.optim " + std::string(kind.name) +
                                  " packs runs of whole weights, but " + slice.name +
                                  " is cut over ranks; use parallel.tp: 1 or optim: adamw");
    }
    if (slice.offset % kind.alignment != 0) {
      throw std::invalid_argument("optimizer: " + slice.name + " is cut at " +
                                  std::to_string(slice.offset) + ", no multiple of " +
                                  std::to_string(kind.alignment));
    }
  }
}

}  // namespace

std::vector<Conflict> conflicts(const OptimizerConfig& c) {
  std::vector<Conflict> found;
  if (c.stochastic_rounding && !c.optim.starts_with("adamw")) {
    found.push_back({{"stochastic_rounding", "optim"},
                     c.optim + " does not round stochastically; use adamw or adamw_8bit"});
  }
  if (c.optim_state_dtype != "fp32" && c.optim != "adamw") {
    found.push_back(
        {{"optim_state_dtype", "optim"}, "only adamw keeps its moments in " + c.optim_state_dtype});
  }
  if (c.optimizer_in_bwd && c.max_grad_norm > 0) {
    found.push_back({{"optimizer_in_bwd", "max_grad_norm"},
                     "gradients are gone before their norm is known; set max_grad_norm: 0"});
  }
  return found;
}

int64_t slice_alignment(const OptimizerConfig& config) { return kind_of(config).alignment; }

bool needs_whole_parameters(const OptimizerConfig& config) {
  return kind_of(config).whole_parameters;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, Sharding& sharding) {
  const Kind& kind = kind_of(config);
  check_slices(kind, sharding);
  return kind.make(config, sharding);
}

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/sharding.h"
#include "trainer/config.h"

// Updates the slices it was given, in place, with float32 master weights and state named after the
// parameters. The kinds are in trainer/optimizers/, one file each; their table is in optimizer.cpp.
namespace lathe {

// Parameters whose names a pattern is found in, and what is different for them.
struct RateGroup {
  std::string pattern;
  double lr_scale = 1;
  double weight_decay = -1;
};

template <class V>
void fields(V& v, RateGroup& c) {
  v("pattern", c.pattern, "a regular expression that is looked for in the names", required());
  v("lr_scale", c.lr_scale, "times the learning rate", at_least(0));
  v("weight_decay", c.weight_decay, "decay of these, be they matrices or not; -1: as for all",
    at_least(-1));
}

struct OptimizerConfig {
  std::string optim = "adamw";
  double learning_rate = 2e-5;
  double weight_decay = 0;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  double max_grad_norm = 1;
  double sgd_momentum = 0, muon_momentum = 0.95;
  std::string optim_state_dtype = "fp32";
  bool stochastic_rounding = false;
  bool optimizer_in_bwd = false;
  double ema_decay = 0;
  std::vector<RateGroup> lr_groups = {};
};

template <class V>
void fields(V& v, OptimizerConfig& c) {
  v("optim", c.optim, "which optimiser",
    one_of({"adamw", "adamw_8bit", "sgd", "lion", "adafactor", "muon"}));
  v("learning_rate", c.learning_rate, "peak learning rate", at_least(0));
  v("weight_decay", c.weight_decay,
    "decoupled decay, on matrices only (tensors of two or more dimensions)", at_least(0));
  v("adam_beta1", c.adam_beta1, "decay of the first moment", between(0, 1));
  v("adam_beta2", c.adam_beta2, "decay of the second moment", between(0, 1));
  v("adam_epsilon", c.adam_epsilon, "added to the root of the second moment", above(0));
  v("max_grad_norm", c.max_grad_norm, "gradients are scaled down to this global norm; 0: never",
    at_least(0));
  v("sgd_momentum", c.sgd_momentum, "sgd: share of the last update that is kept", between(0, 1));
  v("muon_momentum", c.muon_momentum, "muon: decay of the momentum of matrices", between(0, 1));
  v("optim_state_dtype", c.optim_state_dtype, "adamw: type of the moments",
    one_of({"fp32", "bf16"}));
  v("stochastic_rounding", c.stochastic_rounding,
    "adamw, adamw_8bit: bf16 weights have no fp32 masters; updates are rounded up or down by chance");
  v("optimizer_in_bwd", c.optimizer_in_bwd,
    "update each block as soon as its gradients are there and keep none: less memory; needs "
    "max_grad_norm: 0 and one micro-batch a step; a block whose gradients are not finite is skipped "
    "alone");
  v("ema_decay", c.ema_decay,
    "keep an average of the weights with this decay and write it in the end; 0: none",
    between(0, 1));
  v("lr_groups", c.lr_groups, "other rates for some weights: a list of {pattern, lr_scale}");
}

std::vector<Conflict> conflicts(const OptimizerConfig& config);

// A flat run of one named state tensor that this rank holds; what a checkpoint stores and fills.
struct StateSlice {
  std::string name;            // "master/<parameter>", "exp_avg/<parameter>", ...
  std::vector<int64_t> shape;  // of the whole tensor
  int64_t offset = 0;          // in what the cut leaves of it
  at::Tensor values;  // [n] float32, shared with the optimiser: writing here, and refresh_values()
                      // in the end, is loading
  Cut cut = {};       // no runs: the tensor is not cut over tp
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update with gradients scaled by clip_factor, unless gradient_norm is not finite (then
  // nothing changes; false). All gradients are zeroed either way. Also writes the slices' values in
  // their compute type.
  virtual bool update_if_finite(double gradient_norm, double clip_factor, double learning_rate) = 0;
  // Where state is kept in fewer bits, the values are copies, good until the next update.
  virtual std::vector<StateSlice> state() = 0;
  // Before a step's backward, where the step has targets; what gradient_norm() then knows after it:
  // the optimisers that update in the backward (trainer/backward_optimizer.h) find out themselves.
  virtual void begin_step(double /*learning_rate*/) {}
  virtual std::optional<double> gradient_norm() const { return std::nullopt; }
  virtual int64_t updates() const = 0;
  virtual void set_updates(int64_t updates) = 0;
  // After state was filled from a checkpoint: writes the masters into the slices' values.
  virtual void refresh_values() = 0;
  // Writes the averaged weights (ema_decay) into the slices' values, for good; false: there are
  // none.
  virtual bool use_average() = 0;
};

// The sharding must outlive the optimiser. A value that is float32 is its own master: no copy.
// std::invalid_argument when a slice is not what the optimiser needs (whole parameters, or
// slice_alignment).
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, Sharding& sharding);

// What make_sharding is to align slices to.
int64_t slice_alignment(const OptimizerConfig& config);
// Whether it looks at whole parameters, which parallel.zero and parallel.tp cut over ranks.
bool needs_whole_parameters(const OptimizerConfig& config);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "parallel/sharding.h"
#include "trainer/config.h"

// Updates the slices it was given, in place, with float32 master weights and state named after the
// parameters.
namespace lathe {

struct OptimizerConfig {
  std::string optim = "adamw";
  double learning_rate = 2e-5;
  double weight_decay = 0;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  double max_grad_norm = 1;
};

template <class V>
void fields(V& v, OptimizerConfig& c) {
  v("optim", c.optim, "which optimiser", one_of({"adamw"}));
  v("learning_rate", c.learning_rate, "peak learning rate", at_least(0));
  v("weight_decay", c.weight_decay,
    "decoupled decay, on matrices only (tensors of two or more dimensions)", at_least(0));
  v("adam_beta1", c.adam_beta1, "decay of the first moment", between(0, 1));
  v("adam_beta2", c.adam_beta2, "decay of the second moment", between(0, 1));
  v("adam_epsilon", c.adam_epsilon, "added to the root of the second moment", above(0));
  v("max_grad_norm", c.max_grad_norm, "gradients are scaled down to this global norm; 0: never",
    at_least(0));
}

// A flat run of one named state tensor that this rank holds; what a checkpoint stores and fills.
struct StateSlice {
  std::string name;            // "master/<parameter>", "exp_avg/<parameter>", ...
  std::vector<int64_t> shape;  // of the whole tensor
  int64_t offset = 0;
  at::Tensor values;  // [n] float32, shared with the optimiser: writing here is loading
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update with gradients scaled by clip_factor, unless gradient_norm is not finite (then
  // nothing changes; false). All gradients are zeroed either way. Also writes the slices' values in
  // their compute type.
  virtual bool update_if_finite(double gradient_norm, double clip_factor, double learning_rate) = 0;
  virtual std::vector<StateSlice> state() = 0;
  virtual int64_t updates() const = 0;
  virtual void set_updates(int64_t updates) = 0;
  // After state was filled from a checkpoint: writes the masters into the slices' values.
  virtual void refresh_values() = 0;
};

// The sharding must outlive the optimiser. A value that is float32 is its own master: no copy.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, Sharding& sharding);

}  // namespace lathe

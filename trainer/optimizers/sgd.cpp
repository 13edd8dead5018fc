#include <ATen/ATen.h>

#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"

namespace lathe {
namespace {

class Sgd final : public SliceOptimizer {
 public:
  Sgd(const OptimizerConfig& config, Sharding& sharding) : SliceOptimizer(config, sharding) {
    for (size_t i = 0; config.sgd_momentum > 0 && i < slices().size(); ++i)
      momentum_.push_back(add_state(i, "momentum"));
  }

 protected:
  void move(const Move& m, const Update&) override {
    if (m.decay > 0) m.grad.add_(m.master, m.decay);
    if (momentum_.empty()) {
      m.master.sub_(m.grad, m.learning_rate);
    } else {
      momentum_[m.index].mul_(config_.sgd_momentum).add_(m.grad);
      m.master.sub_(momentum_[m.index], m.learning_rate);
    }
  }

 private:
  std::vector<at::Tensor> momentum_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const OptimizerConfig& config, Sharding& sharding) {
  return std::make_unique<Sgd>(config, sharding);
}

}  // namespace lathe

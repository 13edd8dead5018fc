#include <ATen/ATen.h>

#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"

namespace lathe {
namespace {

class Lion final : public SliceOptimizer {
 public:
  Lion(const OptimizerConfig& config, Sharding& sharding) : SliceOptimizer(config, sharding) {
    for (size_t i = 0; i < slices().size(); ++i) exp_avg_.push_back(add_state(i, "exp_avg"));
  }

 protected:
  void move(const Move& m, const Update&) override {
    at::Tensor& average = exp_avg_[m.index];
    const at::Tensor direction = at::lerp(average, m.grad, 1 - config_.adam_beta1).sign_();
    m.master.mul_(1 - m.learning_rate * m.decay).sub_(direction, m.learning_rate);
    average.lerp_(m.grad, 1 - config_.adam_beta2);
  }

 private:
  std::vector<at::Tensor> exp_avg_;
};

}  // namespace

std::unique_ptr<Optimizer> make_lion(const OptimizerConfig& config, Sharding& sharding) {
  return std::make_unique<Lion>(config, sharding);
}

}  // namespace lathe

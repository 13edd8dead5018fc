#include <map>

#include "trainer/kernels/adamw.h"
#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"

namespace lathe {
namespace {

class AdamW final : public SliceOptimizer {
 public:
  AdamW(const OptimizerConfig& config, Sharding& sharding) : SliceOptimizer(config, sharding) {
    for (size_t i = 0; i < slices().size(); ++i) {
      exp_avg_.push_back(add_state(i, "exp_avg"));
      exp_avg_sq_.push_back(add_state(i, "exp_avg_sq"));
    }
  }

 protected:
  // All slices of one rate in one pass.
  void update_all(const Update& update) override {
    std::map<double, std::vector<AdamWSlice>> by_rate;
    for (size_t i = 0; i < slices().size(); ++i) {
      const double rate = update.learning_rate * rate_scale(i);
      by_rate[rate].push_back(run(i, rate));
    }
    for (const auto& [rate, runs] : by_rate) {
      adamw(runs, adamw_scalars(rate, config_.adam_beta1, config_.adam_beta2, config_.adam_epsilon,
                                update.clip_factor, update.number));
    }
  }

 private:
  AdamWSlice run(size_t i, double rate) const {
    const Slice& slice = slices()[i];
    const bool bf16 = slice.value.scalar_type() == at::kBFloat16;
    return {.master = master(i).data_ptr<float>(),
            .exp_avg = exp_avg_[i].data_ptr<float>(),
            .exp_avg_sq = exp_avg_sq_[i].data_ptr<float>(),
            .grad = slice.grad.data_ptr<float>(),
            .value_bf16 = bf16 ? static_cast<uint16_t*>(slice.value.data_ptr()) : nullptr,
            .n = slice.value.numel(),
            .keep = static_cast<float>(1 - rate * decay(i))};
  }

  std::vector<at::Tensor> exp_avg_, exp_avg_sq_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerConfig& config, Sharding& sharding) {
  if (config.optim_state_dtype != "fp32" || config.stochastic_rounding)
    return make_packed_adamw(config, sharding);
  return std::make_unique<AdamW>(config, sharding);
}

}  // namespace lathe

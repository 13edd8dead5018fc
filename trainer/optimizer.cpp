#include "trainer/optimizer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <stdexcept>

#include "trainer/kernels/adamw.h"

namespace lathe {
namespace {

// Masters and moments of one slice: views of the optimiser's flat tensors.
struct SliceState {
  at::Tensor master, exp_avg, exp_avg_sq;
};

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerConfig& config, Sharding& sharding) : config_(config), sharding_(sharding) {
    int64_t total = 0, masters = 0;
    for (const Slice& slice : sharding.slices()) {
      check(slice);
      total += slice.value.numel();
      if (slice.value.scalar_type() != at::kFloat) masters += slice.value.numel();
    }
    const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
    const at::Tensor flat_masters = at::empty({masters}, options);
    const at::Tensor flat_avg = at::zeros({total}, options),
                     flat_avg_sq = at::zeros({total}, options);
    int64_t at = 0, master_at = 0;
    for (const Slice& slice : sharding.slices()) {
      const int64_t n = slice.value.numel();
      SliceState& state = states_.emplace_back();
      state.exp_avg = flat_avg.narrow(0, at, n);
      state.exp_avg_sq = flat_avg_sq.narrow(0, at, n);
      at += n;
      if (slice.value.scalar_type() == at::kFloat) {
        state.master = slice.value.detach();
      } else {
        state.master = flat_masters.narrow(0, master_at, n);
        state.master.copy_(slice.value.detach());
        master_at += n;
      }
    }
  }

  bool update_if_finite(double gradient_norm, double clip_factor, double learning_rate) override {
    if (!std::isfinite(gradient_norm)) {
      sharding_.zero_gradients();
      return false;
    }
    ++updates_;
    adamw(slices(learning_rate),
          adamw_scalars(learning_rate, config_.adam_beta1, config_.adam_beta2, config_.adam_epsilon,
                        clip_factor, updates_));
    // The pass has zeroed what this rank owns; elsewhere its own sums of this step are left.
    sharding_.zero_rest();
    return true;
  }

  std::vector<StateSlice> state() override {
    std::vector<StateSlice> result;
    for (size_t i = 0; i < states_.size(); ++i) {
      const Slice& slice = sharding_.slices()[i];
      const auto add = [&](const char* kind, const at::Tensor& values) {
        result.push_back({.name = std::string(kind) + "/" + slice.name,
                          .shape = slice.shape,
                          .offset = slice.offset,
                          .values = values});
      };
      add("master", states_[i].master);
      add("exp_avg", states_[i].exp_avg);
      add("exp_avg_sq", states_[i].exp_avg_sq);
    }
    return result;
  }

  int64_t updates() const override { return updates_; }
  void set_updates(int64_t updates) override { updates_ = updates; }

  void refresh_values() override {
    for (size_t i = 0; i < states_.size(); ++i) {
      at::Tensor value = sharding_.slices()[i].value.detach();
      if (!value.is_same(states_[i].master)) value.copy_(states_[i].master);
    }
  }

 private:
  static void check(const Slice& slice) {
    const at::ScalarType type = slice.value.scalar_type();
    if (type != at::kFloat && type != at::kBFloat16) {
      throw std::invalid_argument("optimizer: " + slice.name + " is " + c10::toString(type) +
                                  "; expected float32 or bfloat16 (model.dtype)");
    }
    if (!slice.value.is_cpu())
      throw std::invalid_argument("optimizer: " + slice.name + " is not on the CPU");
  }

  // Decay is for matrices: norms and biases have one dimension.
  std::vector<AdamWSlice> slices(double learning_rate) {
    std::vector<AdamWSlice> result;
    for (size_t i = 0; i < states_.size(); ++i) {
      const Slice& slice = sharding_.slices()[i];
      const double decay = slice.shape.size() >= 2 ? config_.weight_decay : 0;
      const bool bf16 = slice.value.scalar_type() == at::kBFloat16;
      result.push_back(
          {.master = states_[i].master.data_ptr<float>(),
           .exp_avg = states_[i].exp_avg.data_ptr<float>(),
           .exp_avg_sq = states_[i].exp_avg_sq.data_ptr<float>(),
           .grad = slice.grad.data_ptr<float>(),
           .value_bf16 = bf16 ? static_cast<uint16_t*>(slice.value.data_ptr()) : nullptr,
           .n = slice.value.numel(),
           .keep = static_cast<float>(1 - learning_rate * decay)});
    }
    return result;
  }

  OptimizerConfig config_;
  Sharding& sharding_;
  std::vector<SliceState> states_;
  int64_t updates_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, Sharding& sharding) {
  if (config.optim != "adamw") {
    throw std::invalid_argument("optimizer.optim is \"" + config.optim + "\"; expected adamw");
  }
  return std::make_unique<AdamW>(config, sharding);
}

}  // namespace lathe

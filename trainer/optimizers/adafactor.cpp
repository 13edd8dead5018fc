#include <ATen/ATen.h>

#include <cmath>

#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"

// Hugging Face's settings: eps 1e-30, updates cut at a root mean square of 1, decay rate -0.8, no
// first moment. Second moments of matrices are kept as the means of their rows and columns.
namespace lathe {
namespace {

constexpr double kEpsilon = 1e-30, kClip = 1, kDecayRate = -0.8;

class Adafactor final : public SliceOptimizer {
 public:
  Adafactor(const OptimizerConfig& config, Sharding& sharding) : SliceOptimizer(config, sharding) {
    for (size_t i = 0; i < slices().size(); ++i) {
      const std::vector<int64_t>& shape = slices()[i].shape;
      State& state = states_.emplace_back();
      if (shape.size() < 2) {
        state.whole = add_state(i, "exp_avg_sq");
        continue;
      }
      const std::vector<int64_t> rows(shape.begin(), shape.end() - 1);
      std::vector<int64_t> columns(shape.begin(), shape.end() - 2);
      columns.push_back(shape.back());
      state.row = add_state(i, "exp_avg_sq_row", rows).view(rows);
      state.column = add_state(i, "exp_avg_sq_col", columns).view(columns);
    }
  }

 protected:
  void move(const Move& m, const Update& update) override {
    State& state = states_[m.index];
    const at::Tensor grad = m.grad.view(slices()[m.index].shape);
    const double renewed = std::pow(static_cast<double>(update.number), kDecayRate);
    const at::Tensor square = grad.square().add_(kEpsilon);
    at::Tensor step;
    if (state.whole.defined()) {
      state.whole.lerp_(square, renewed);
      step = state.whole.rsqrt().mul_(grad);
    } else {
      state.row.lerp_(square.mean(-1), renewed);
      state.column.lerp_(square.mean(-2), renewed);
      const at::Tensor row = (state.row / state.row.mean(-1, true)).rsqrt_().unsqueeze(-1);
      step = at::mul(row * state.column.rsqrt().unsqueeze(-2), grad);
    }
    const double rms = step.square().mean().sqrt().item<double>();
    step.mul_(m.learning_rate / std::max(1.0, rms / kClip));
    m.master.mul_(1 - m.learning_rate * m.decay).sub_(step.view({-1}));
  }

 private:
  struct State {
    at::Tensor whole, row, column;
  };
  std::vector<State> states_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adafactor(const OptimizerConfig& config, Sharding& sharding) {
  return std::make_unique<Adafactor>(config, sharding);
}

}  // namespace lathe

#include <ATen/ATen.h>

#include <cmath>

#include "trainer/kernels/adamw.h"
#include "trainer/optimizers/optimizers.h"
#include "trainer/optimizers/slice_optimizer.h"

namespace lathe {
namespace {

constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315, kLeastNorm = 1e-7;
constexpr int kRounds = 5;

// Embeddings and heads are matrices, but not maps between hidden states.
bool is_hidden_matrix(const Slice& slice) {
  if (slice.shape.size() != 2) return false;
  for (const char* other : {"embed", "lm_head", "wte", "wpe"}) {
    if (slice.name.find(other) != std::string::npos) return false;
  }
  return true;
}

// Nearly the orthogonal matrix nearest to x, by the quintic Newton-Schulz iteration: all singular
// values go to about 1.
at::Tensor orthogonalized(const at::Tensor& x) {
  const bool tall = x.size(0) > x.size(1);
  at::Tensor y = tall ? x.t() : x;
  y = y / std::max(kLeastNorm, at::linalg_vector_norm(y).item<double>());
  for (int i = 0; i < kRounds; ++i) {
    const at::Tensor gram = at::mm(y, y.t());
    const at::Tensor factor = at::addmm(gram, gram, gram, kB, kC);
    y = at::addmm(y, factor, y, kA, 1);
  }
  return tall ? y.t() : y;
}

class Muon final : public SliceOptimizer {
 public:
  Muon(const OptimizerConfig& config, Sharding& sharding) : SliceOptimizer(config, sharding) {
    for (size_t i = 0; i < slices().size(); ++i) {
      const bool matrix = is_hidden_matrix(slices()[i]);
      first_.push_back(add_state(i, matrix ? "momentum" : "exp_avg"));
      second_.push_back(matrix ? at::Tensor() : add_state(i, "exp_avg_sq"));
    }
  }

 protected:
  void move(const Move& m, const Update& update) override {
    if (second_[m.index].defined()) {
      move_by_adamw(m, update);
      return;
    }
    const double momentum = config_.muon_momentum;
    at::Tensor& average = first_[m.index];
    average.lerp_(m.grad, 1 - momentum);
    const at::Tensor ahead = at::lerp(m.grad, average, momentum);
    const std::vector<int64_t>& shape = slices()[m.index].shape;
    const at::Tensor step = orthogonalized(ahead.view(shape)).contiguous().view({-1});
    // The root mean square of AdamW's updates, so that one learning rate serves both.
    const double size = 0.2 * std::sqrt(static_cast<double>(std::max(shape[0], shape[1])));
    m.master.mul_(1 - m.learning_rate * m.decay).sub_(step, m.learning_rate * size);
  }

 private:
  void move_by_adamw(const Move& m, const Update& update) {
    const AdamWSlice run{.master = m.master.data_ptr<float>(),
                         .exp_avg = first_[m.index].data_ptr<float>(),
                         .exp_avg_sq = second_[m.index].data_ptr<float>(),
                         .grad = m.grad.data_ptr<float>(),
                         .value_bf16 = nullptr,
                         .n = m.grad.numel(),
                         .keep = static_cast<float>(1 - m.learning_rate * m.decay)};
    adamw({&run, 1}, adamw_scalars(m.learning_rate, config_.adam_beta1, config_.adam_beta2,
                                   config_.adam_epsilon, 1, update.number));
  }

  std::vector<at::Tensor> first_, second_;
};

}  // namespace

std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config, Sharding& sharding) {
  return std::make_unique<Muon>(config, sharding);
}

}  // namespace lathe

#include "trainer/kernels/adamw.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lathe {
namespace {

// A tensor's training state, by value, so that versions can be compared.
struct State {
  at::Tensor master, exp_avg, exp_avg_sq, grad, value;

  explicit State(int64_t n, uint64_t seed) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    master = at::randn({n}, generator);
    exp_avg = at::randn({n}, generator) * 0.1;
    exp_avg_sq = at::rand({n}, generator) * 0.01;
    grad = at::randn({n}, generator);
    value = master.to(at::kBFloat16);
  }
  AdamWSlice slice(float keep = 0.999f) {
    return {.master = master.data_ptr<float>(),
            .exp_avg = exp_avg.data_ptr<float>(),
            .exp_avg_sq = exp_avg_sq.data_ptr<float>(),
            .grad = grad.data_ptr<float>(),
            .value_bf16 = reinterpret_cast<uint16_t*>(value.data_ptr()),
            .n = master.numel(),
            .keep = keep};
  }
  bool operator==(const State& other) const {
    return at::equal(master, other.master) && at::equal(exp_avg, other.exp_avg) &&
           at::equal(exp_avg_sq, other.exp_avg_sq) && at::equal(grad, other.grad) &&
           at::equal(value, other.value);
  }
};

const AdamWScalars kScalars = adamw_scalars(1e-3, 0.9, 0.95, 1e-8, 0.7, 3);

TEST(AdamW, EveryInstructionSetGivesTheSameBits) {
  for (const int64_t n : {1, 15, 16, 17, 1000, 4099}) {
    State plain(n, 1), avx2(n, 1), avx512(n, 1);
    adamw_plain(plain.slice(), kScalars);
    if (__builtin_cpu_supports("avx2")) {
      adamw_avx2(avx2.slice(), kScalars);
      EXPECT_TRUE(plain == avx2) << n;
    }
    if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "NOT RUN: no AVX512 here";
    adamw_avx512(avx512.slice(), kScalars);
    EXPECT_TRUE(plain == avx512) << n;
  }
}

TEST(AdamW, DoesNotDependOnTheNumberOfThreads) {
  const int threads = at::get_num_threads();
  std::vector<State> results;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    State big(100'003, 5), empty(0, 1), small(7, 6);
    const std::vector<AdamWSlice> slices{big.slice(), empty.slice(), small.slice(1)};
    adamw(slices, kScalars);
    results.push_back(big);
    results.push_back(small);
  }
  at::set_num_threads(threads);
  for (size_t i = 2; i < results.size(); ++i) EXPECT_TRUE(results[i] == results[i % 2]) << i;
}

TEST(AdamW, ZeroesTheGradientAndRoundsTheValueAsTorch) {
  State state(1001, 2);
  adamw_plain(state.slice(), kScalars);
  EXPECT_TRUE(at::equal(state.grad, at::zeros({1001})));
  EXPECT_TRUE(at::equal(state.value, state.master.to(at::kBFloat16)));
}

TEST(AdamW, TenUpdatesEqualTorchsFusedOne) {
  State ours(3001, 3), theirs(3001, 3);
  ours.exp_avg.zero_(), theirs.exp_avg.zero_(), ours.exp_avg_sq.zero_(), theirs.exp_avg_sq.zero_();
  const double lr = 1e-2, decay = 0.1;
  at::Tensor count = at::zeros({});
  for (int64_t update = 1; update <= 10; ++update) {
    at::Generator generator = at::detail::createCPUGenerator(100 + update);
    const at::Tensor grad = at::randn({3001}, generator);
    ours.grad.copy_(grad), theirs.grad.copy_(grad), count.add_(1);
    adamw_plain(ours.slice(static_cast<float>(1 - lr * decay)),
                adamw_scalars(lr, 0.9, 0.95, 1e-8, 1, update));
    at::_fused_adamw_({theirs.master}, {theirs.grad}, {theirs.exp_avg}, {theirs.exp_avg_sq}, {},
                      {count}, lr, 0.9, 0.95, decay, 1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }
  // torch fuses products with sums, we do not: a few units in the last place of each of ten
  // updates.
  EXPECT_LT((ours.master - theirs.master).abs().max().item<float>(), 2e-6);
  EXPECT_TRUE(at::allclose(ours.exp_avg, theirs.exp_avg, 1e-5, 1e-7));
  EXPECT_TRUE(at::allclose(ours.exp_avg_sq, theirs.exp_avg_sq, 1e-5, 1e-7));
}

TEST(AdamW, TenUpdatesEqualTheFormulaInFloat64) {
  State state(1, 4);
  double p = state.master.item<float>(), m = 0, v = 0;
  state.exp_avg.zero_(), state.exp_avg_sq.zero_();
  const double lr = 1e-2, decay = 0.1, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, clip = 0.5;
  for (int update = 1; update <= 10; ++update) {
    const double g = std::sin(update) * clip;
    state.grad.fill_(std::sin(update));
    adamw_plain(state.slice(static_cast<float>(1 - lr * decay)),
                adamw_scalars(lr, beta1, beta2, epsilon, clip, update));
    p *= 1 - lr * decay;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    p -= lr * (m / (1 - std::pow(beta1, update))) /
         (std::sqrt(v / (1 - std::pow(beta2, update))) + epsilon);
  }
  EXPECT_NEAR(state.master.item<float>(), p, 1e-6);  // ten float32 updates of 1e-2
}

}  // namespace
}  // namespace lathe

#include "trainer/kernels/rows.h"

#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/norm.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/swiglu.h"

namespace lathe {
namespace {

struct Outcome {
  std::vector<at::Tensor> values;
};

// Forward and backward of one kernel: outputs, input gradients, weight gradient, in this order.
using Case = std::function<Outcome(at::ScalarType, Path)>;

Outcome run_norm(at::ScalarType type, Path path) {
  Parameter w = random_parameter("w", {37}, type, 1);
  at::Tensor x = random_tensor({19, 37}, type, 2).set_requires_grad(true);
  const at::Tensor y = rms_norm(x, w, 1e-5, path);
  y.backward(random_tensor({19, 37}, type, 3));
  return {{y, x.grad(), w.grad}};
}

Outcome run_add_norm(at::ScalarType type, Path path) {
  Parameter w = random_parameter("w", {37}, type, 1);
  at::Tensor x = random_tensor({19, 37}, type, 2).set_requires_grad(true);
  at::Tensor delta = random_tensor({19, 37}, type, 3).set_requires_grad(true);
  const auto [sum, y] = add_rms_norm(x, delta, w, 1e-5, path);
  torch::autograd::backward({sum, y},
                            {random_tensor({19, 37}, type, 4), random_tensor({19, 37}, type, 5)});
  return {{sum, y, x.grad(), delta.grad(), w.grad}};
}

Outcome run_swiglu(at::ScalarType type, Path path) {
  at::Tensor gate = (random_tensor({19, 37}, type, 1) * 8).set_requires_grad(true);
  at::Tensor up = random_tensor({19, 37}, type, 2).set_requires_grad(true);
  const at::Tensor y = swiglu(gate, up, path);
  y.backward(random_tensor({19, 37}, type, 3));
  return {{y, gate.grad(), up.grad()}};
}

Outcome run_rotary(at::ScalarType type, Path path) {
  at::Tensor x = random_tensor({19, 3, 14}, type, 1).set_requires_grad(true);
  const at::Tensor angle = random_tensor({19, 7}, at::kFloat, 2) * 10;
  const at::Tensor y = rotary(x, angle.cos(), angle.sin(), path);
  y.backward(random_tensor({19, 3, 14}, type, 3));
  return {{y, x.grad()}};
}

const std::vector<std::pair<std::string, Case>>& cases() {
  static const std::vector<std::pair<std::string, Case>> all{{"norm", run_norm},
                                                             {"add_norm", run_add_norm},
                                                             {"swiglu", run_swiglu},
                                                             {"rotary", run_rotary}};
  return all;
}

TEST(RowKernels, EqualTheirPlainVersions) {
  for (const auto& [name, run] : cases()) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const Outcome fast = run(type, Path::kBest), plain = run(type, Path::kPlain);
      ASSERT_EQ(fast.values.size(), plain.values.size());
      for (size_t i = 0; i < fast.values.size(); ++i) {
        EXPECT_LT(difference(fast.values[i], plain.values[i]), tolerance(type))
            << name << " value " << i;
      }
    }
  }
}

TEST(RowKernels, GiveTheSameBitsWithOneAndTwoThreads) {
  for (const auto& [name, run] : cases()) {
    at::set_num_threads(1);
    const Outcome one = run(at::kFloat, Path::kBest);
    at::set_num_threads(2);
    const Outcome two = run(at::kFloat, Path::kBest);
    for (size_t i = 0; i < one.values.size(); ++i)
      EXPECT_TRUE(same_bits(one.values[i], two.values[i])) << name;
  }
}

// float64 against autograd over composed operations: the formulas themselves.
TEST(RowKernels, TheNormsPlainBackwardIsItsDerivative) {
  const Outcome run = run_add_norm(at::kDouble, Path::kPlain);
  at::Tensor w = random_tensor({37}, at::kDouble, 1).set_requires_grad(true);
  at::Tensor x = random_tensor({19, 37}, at::kDouble, 2).set_requires_grad(true);
  const at::Tensor sum = x + random_tensor({19, 37}, at::kDouble, 3);
  const at::Tensor y = sum * (sum.square().mean(1, true) + 1e-5).rsqrt() * w;
  torch::autograd::backward(
      {sum, y}, {random_tensor({19, 37}, at::kDouble, 4), random_tensor({19, 37}, at::kDouble, 5)});
  EXPECT_LT(difference(run.values[1], y), 1e-12);
  EXPECT_LT(difference(run.values[2], x.grad()), 1e-12);
  EXPECT_LT(difference(run.values[3], x.grad()), 1e-12);
  EXPECT_LT(difference(run.values[4], w.grad()), 1e-12);
}

TEST(RowKernels, TheSwiglusPlainBackwardIsItsDerivative) {
  const Outcome run = run_swiglu(at::kDouble, Path::kPlain);
  at::Tensor gate = (random_tensor({19, 37}, at::kDouble, 1) * 8).set_requires_grad(true);
  at::Tensor up = random_tensor({19, 37}, at::kDouble, 2).set_requires_grad(true);
  const at::Tensor y = at::silu(gate) * up;
  y.backward(random_tensor({19, 37}, at::kDouble, 3));
  EXPECT_LT(difference(run.values[0], y), 1e-12);
  EXPECT_LT(difference(run.values[1], gate.grad()), 1e-12);
  EXPECT_LT(difference(run.values[2], up.grad()), 1e-12);
}

TEST(RowKernels, TheRotarysBackwardTurnsBack) {
  const at::Tensor angle = random_tensor({4, 7}, at::kDouble, 2);
  at::Tensor x = random_tensor({4, 3, 14}, at::kDouble, 1).set_requires_grad(true);
  const at::Tensor y = rotary(x, angle.cos(), angle.sin());
  y.backward(y.detach());
  EXPECT_LT(difference(x.grad(), x), 1e-12);
}

TEST(RowKernels, EveryInstructionSetAgreesWithThePlainOne) {
  const int64_t rows = 5, width = 1003;
  const at::Tensor logits = random_tensor({rows, width}, at::kFloat, 1) * 6;
  const at::Tensor targets = at::randint(width, {rows}, at::kLong);
  const at::Tensor reference = logits.to(at::kDouble).log_softmax(1);
  int checked = 0;
  for (const Simd simd : {Simd::kPlain, Simd::kAvx2, Simd::kAvx512}) {
    if (!has_simd(simd)) continue;
    ++checked;
    at::Tensor picked = at::empty({rows}), lse = at::empty({rows}),
               dlogits = at::empty({rows, width});
    const at::Tensor d = random_tensor({rows}, at::kFloat, 2);
    const RowKernels<float>& kernels = row_kernels<float>(simd);
    kernels.log_softmax_pick(picked.data_ptr<float>(), lse.data_ptr<float>(),
                             logits.data_ptr<float>(), targets.data_ptr<int64_t>(), rows, width);
    kernels.log_softmax_pick_backward(dlogits.data_ptr<float>(), logits.data_ptr<float>(),
                                      lse.data_ptr<float>(), d.data_ptr<float>(),
                                      targets.data_ptr<int64_t>(), rows, width);
    EXPECT_LT(difference(picked, reference.gather(1, targets.unsqueeze(1)).squeeze(1)), 1e-6);
    const at::Tensor hot =
        at::zeros({rows, width}, at::kDouble).scatter(1, targets.unsqueeze(1), 1);
    EXPECT_LT(difference(dlogits, (hot - reference.exp()) * d.unsqueeze(1)), 1e-6);
  }
  EXPECT_GE(checked, 1);
}

template <typename T>
void check_thin_product(const RowKernels<T>& kernels, at::ScalarType type) {
  for (const int64_t tokens : {1, 2, 3, 4, 5, 8}) {
    for (const auto& [outputs, width] : {std::pair{9, 70}, {4, 64}, {3, 5}, {130, 33}}) {
      const at::Tensor x = random_tensor({tokens, width}, at::kFloat, 1);
      const at::Tensor w = random_tensor({outputs, width}, type, 2);
      at::Tensor y = at::full({tokens, outputs + 2}, 7.0f);
      kernels.thin_product(y.data_ptr<float>(), x.data_ptr<float>(),
                           static_cast<const T*>(w.data_ptr()), tokens, outputs, width,
                           outputs + 2);
      const at::Tensor expected = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
      EXPECT_LT(difference(y.slice(1, 0, outputs), expected), 1e-5) << tokens << " " << outputs;
      EXPECT_TRUE(y.slice(1, outputs).eq(7).all().template item<bool>());
    }
  }
}

TEST(RowKernels, TheThinProductIsTheProduct) {
  for (const Simd simd : {Simd::kPlain, Simd::kAvx2, Simd::kAvx512}) {
    if (!has_simd(simd)) continue;
    check_thin_product(row_kernels<float>(simd), at::kFloat);
    check_thin_product(row_kernels<Bf16>(simd), at::kBFloat16);
  }
}

TEST(RowKernels, SwigluIsRightAtTheEnds) {
  const at::Tensor gate = at::tensor({-1e30f, -200.f, -88.f, 0.f, 88.f, 200.f, 1e30f});
  EXPECT_TRUE(at::allclose(swiglu(gate, at::ones({7})), at::silu(gate), 1e-6, 1e-35));
  EXPECT_TRUE(std::isnan(swiglu(at::full({1}, NAN), at::ones({1})).item<float>()));
}

}  // namespace
}  // namespace lathe

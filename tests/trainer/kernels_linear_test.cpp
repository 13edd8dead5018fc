#include "trainer/kernels/linear.h"

#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/embedding.h"

namespace lathe {
namespace {

class LinearOfType : public testing::TestWithParam<at::ScalarType> {};

TEST_P(LinearOfType, EqualsAutogradAndAddsIntoGrad) {
  const at::ScalarType type = GetParam();
  Parameter w = random_parameter("w", {5, 7}, type, 1), b = random_parameter("b", {5}, type, 2);
  at::Tensor x = random_tensor({11, 7}, type, 3).set_requires_grad(true);
  const at::Tensor dy = random_tensor({11, 5}, type, 4);
  w.grad.fill_(1);
  const at::Tensor y = linear(x, {&w, &b});
  y.backward(dy);

  const at::ScalarType wide = type == at::kDouble ? type : at::kFloat;
  const auto leaf = [&](const at::Tensor& t) {
    return t.detach().to(wide, false, true).set_requires_grad(true);
  };
  at::Tensor xr = leaf(x), wr = leaf(w.value), br = leaf(b.value);
  const at::Tensor yr = at::linear(xr, wr, br);
  yr.backward(dy.to(wide));
  EXPECT_LT(difference(y, yr), tolerance(type));
  EXPECT_LT(difference(x.grad(), xr.grad()), tolerance(type));
  EXPECT_LT(difference(w.grad - 1, wr.grad()), tolerance(type));
  EXPECT_LT(difference(b.grad, br.grad()), tolerance(type));
  EXPECT_FALSE(w.value.grad().defined());
  EXPECT_FALSE(b.value.grad().defined());
}

INSTANTIATE_TEST_SUITE_P(Types, LinearOfType,
                         testing::Values(at::kDouble, at::kFloat, at::kBFloat16));

TEST(Linear, SeveralOfOneInputSumTheInputsGradient) {
  Parameter a = random_parameter("a", {5, 7}, at::kDouble, 1),
            b = random_parameter("b", {3, 7}, at::kDouble, 2);
  at::Tensor x = random_tensor({4, 7}, at::kDouble, 3).set_requires_grad(true);
  const std::vector<at::Tensor> y = linears(x, {{&a}, {&b}});
  (y[0].sum() + 2 * y[1].sum()).backward();
  const at::Tensor expected = (a.value.sum(0) + 2 * b.value.sum(0)).expand({4, 7});
  EXPECT_LT(difference(x.grad(), expected), 1e-12);
}

// A gradient of many rows is made a few rows at a time; the last are fewer.
TEST(Linear, AddsTheGradientOfALargeWeight) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Parameter w = random_parameter("w", {2100, 6}, type, 1);
    const at::Tensor x = random_tensor({9, 6}, type, 2), dy = random_tensor({9, 2100}, type, 3);
    w.grad.fill_(1);
    linear(x, {&w}).backward(dy);
    const at::Tensor expected = at::mm(dy.to(at::kDouble).t(), x.to(at::kDouble));
    EXPECT_LT(difference(w.grad - 1, expected), tolerance(type));
  }
}

TEST(Linear, GivesTheSameBitsWithOneAndTwoThreads) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    std::vector<std::vector<at::Tensor>> runs;
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      Parameter w = random_parameter("w", {96, 130}, type, 1),
                b = random_parameter("b", {96}, type, 2);
      at::Tensor x = random_tensor({700, 130}, type, 3).set_requires_grad(true);
      const at::Tensor y = linear(x, {&w, &b});
      y.backward(random_tensor({700, 96}, type, 4));
      runs.push_back({y, x.grad(), w.grad, b.grad});
    }
    for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(same_bits(runs[0][i], runs[1][i])) << i;
  }
}

TEST(Linear, InBfloat16SumsManyStepsWithoutLoss) {
  // Rounded to bfloat16 between, the sum would stop at 256.
  Parameter w = random_parameter("w", {3, 5}, at::kBFloat16, 1);
  const at::Tensor ones = at::ones({1, 5}, at::kBFloat16);
  for (int i = 0; i < 1000; ++i) linear(ones, {&w}).sum().backward();
  EXPECT_TRUE(same_bits(w.grad, at::full({3, 5}, 1000.0f)));
}

TEST(Linear, AnUnusedOutputHasNoGradient) {
  Parameter a = random_parameter("a", {5, 7}, at::kFloat, 1),
            b = random_parameter("b", {3, 7}, at::kFloat, 2);
  linears(random_tensor({4, 7}, at::kFloat, 3), {{&a}, {&b}})[0].sum().backward();
  EXPECT_GT(a.grad.abs().sum().item<double>(), 0);
  EXPECT_EQ(b.grad.abs().sum().item<double>(), 0);
}

TEST(Linear, AFrozenWeightPassesTheGradientOn) {
  Parameter w = random_parameter("w", {5, 7}, at::kFloat, 1);
  w.trained = false;
  w.value.set_requires_grad(false);
  w.grad = at::Tensor();
  at::Tensor x = random_tensor({4, 7}, at::kFloat, 3).set_requires_grad(true);
  linear(x, {&w}).sum().backward();
  EXPECT_LT(difference(x.grad(), w.value.sum(0).expand({4, 7})), 1e-6);
}

TEST(Linear, ATrainedWeightWithoutAGradientTensorIsOurBug) {
  Parameter w = random_parameter("w", {5, 7}, at::kFloat, 1);
  w.grad = at::Tensor();
  const at::Tensor y = linear(random_tensor({4, 7}, at::kFloat, 3), {&w});
  EXPECT_THROW(y.sum().backward(), std::logic_error);
}

TEST(Embedding, AddsRowsInFloat32) {
  // Summed in bfloat16, 4,096 ones would stop at 256.
  Parameter table = random_parameter("table", {3, 130}, at::kBFloat16, 1);
  const at::Tensor tokens = at::ones({4096}, at::kLong);
  embedding(tokens, table).backward(at::ones({4096, 130}, at::kBFloat16));
  EXPECT_TRUE(same_bits(table.grad[1], at::full({130}, 4096.0f)));
  EXPECT_EQ(table.grad[0].abs().sum().item<float>(), 0);
  EXPECT_EQ(table.grad[2].abs().sum().item<float>(), 0);
}

TEST(Embedding, RefusesATokenOutsideTheTable) {
  Parameter table = random_parameter("table", {3, 4}, at::kFloat, 1);
  EXPECT_THROW(embedding(at::full({1}, 3, at::kLong), table), std::invalid_argument);
  EXPECT_THROW(embedding(at::full({1}, -1, at::kLong), table), std::invalid_argument);
}

TEST(Embedding, TakesNoTokens) {
  Parameter table = random_parameter("table", {3, 4}, at::kFloat, 1);
  embedding(at::empty({0}, at::kLong), table).sum().backward();
  EXPECT_EQ(table.grad.abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace lathe

#include "trainer/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "parallel/local_group.h"

namespace lathe {
namespace {

// A matrix and a vector whose sizes no two ranks divide evenly.
struct Weights {
  Parameter matrix, vector;

  explicit Weights(at::ScalarType type = at::kFloat) {
    matrix = {.name = "matrix",
              .value = (at::arange(35, at::kFloat).view({5, 7}) * 0.1 - 1).to(type),
              .grad = {}};
    vector = {.name = "vector", .value = (at::arange(11, at::kFloat) * 0.1).to(type), .grad = {}};
    matrix.value.set_requires_grad(true);
    vector.value.set_requires_grad(true);
  }
  std::vector<Parameter*> all() { return {&matrix, &vector}; }
  void fill_gradients(double value) {
    for (Parameter* parameter : all()) {
      parameter->grad.copy_(
          at::arange(parameter->grad.numel(), at::kFloat).view(parameter->grad.sizes()).sin() *
          value);
    }
  }
};

const OptimizerConfig kConfig{.weight_decay = 0.1};

TEST(Optimizer, Float32ValuesAreTheirOwnMasters) {
  Mesh mesh(solo_group(), {});
  Weights weights;
  const auto sharding = make_sharding(0, weights.all(), mesh);
  const auto optimizer = make_optimizer(kConfig, *sharding);
  const auto state = optimizer->state();
  ASSERT_EQ(state.size(), 6u);
  EXPECT_EQ(state[0].name, "master/matrix");
  EXPECT_EQ(state[1].name, "exp_avg/matrix");
  EXPECT_EQ(state[2].name, "exp_avg_sq/matrix");
  EXPECT_EQ(state[3].name, "master/vector");
  EXPECT_EQ(state[0].shape, (std::vector<int64_t>{5, 7}));
  EXPECT_EQ(state[0].values.data_ptr(), weights.matrix.value.data_ptr());
  EXPECT_EQ(state[3].values.data_ptr(), weights.vector.value.data_ptr());
}

TEST(Optimizer, Bfloat16ValuesAreTheRoundedMasters) {
  Mesh mesh(solo_group(), {});
  Weights weights(at::kBFloat16), exact;
  const auto sharding = make_sharding(0, weights.all(), mesh),
             exact_sharding = make_sharding(0, exact.all(), mesh);
  const auto optimizer = make_optimizer(kConfig, *sharding),
             reference = make_optimizer(kConfig, *exact_sharding);
  {
    const at::NoGradGuard no_grad;
    exact.matrix.value.copy_(weights.matrix.value);
    exact.vector.value.copy_(weights.vector.value);
  }
  for (int i = 0; i < 5; ++i) {  // steps far below the precision of bfloat16 must add up
    weights.fill_gradients(1), exact.fill_gradients(1);
    EXPECT_TRUE(optimizer->update_if_finite(1, 1, 1e-4));
    EXPECT_TRUE(reference->update_if_finite(1, 1, 1e-4));
  }
  EXPECT_TRUE(at::equal(optimizer->state()[0].values, exact.matrix.value.detach().flatten()));
  EXPECT_TRUE(
      at::equal(weights.matrix.value.detach(), exact.matrix.value.detach().to(at::kBFloat16)));
}

TEST(Optimizer, DecaysMatricesOnly) {
  Mesh mesh(solo_group(), {});
  Weights weights;
  const auto sharding = make_sharding(0, weights.all(), mesh);
  const auto optimizer = make_optimizer(kConfig, *sharding);
  const at::Tensor matrix = weights.matrix.value.detach().clone(),
                   vector = weights.vector.value.detach().clone();
  EXPECT_TRUE(optimizer->update_if_finite(0, 1, 0.5));
  EXPECT_TRUE(at::equal(weights.matrix.value.detach(), matrix * (1 - 0.5 * 0.1)));
  EXPECT_TRUE(at::equal(weights.vector.value.detach(), vector));
}

TEST(Optimizer, GradientThatIsNotFiniteChangesNothingButIsForgotten) {
  Mesh mesh(solo_group(), {});
  Weights weights;
  const auto sharding = make_sharding(1, weights.all(), mesh);
  const auto optimizer = make_optimizer(kConfig, *sharding);
  weights.fill_gradients(1);
  EXPECT_TRUE(optimizer->update_if_finite(1, 1, 0.1));
  std::vector<at::Tensor> before;
  for (const StateSlice& slice : optimizer->state()) before.push_back(slice.values.clone());
  for (const double norm : {std::nan(""), static_cast<double>(INFINITY)}) {
    weights.fill_gradients(norm);
    EXPECT_FALSE(optimizer->update_if_finite(norm, 1, 0.1));
    EXPECT_EQ(optimizer->updates(), 1);
    EXPECT_TRUE(at::equal(weights.matrix.grad, at::zeros({5, 7})));
    const std::vector<StateSlice> after = optimizer->state();
    for (size_t i = 0; i < after.size(); ++i)
      EXPECT_TRUE(at::equal(after[i].values, before[i])) << after[i].name;
  }
}

TEST(Optimizer, EveryShardingMakesTheSameUpdate) {
  std::vector<at::Tensor> results;
  for (const auto& [ranks, zero] :
       {std::pair(1, 0), std::pair(1, 1), std::pair(2, 0), std::pair(2, 1), std::pair(3, 1)}) {
    run_local(ranks, [&](std::unique_ptr<Group> group) {
      const int rank = group->rank();
      Mesh mesh(std::move(group), {});
      Weights weights;
      const auto sharding = make_sharding(zero, weights.all(), mesh);
      const auto optimizer = make_optimizer(kConfig, *sharding);
      for (int i = 0; i < 3; ++i) {
        if (rank == 0) weights.fill_gradients(1);  // the other ranks add nothing
        sharding->reduce_gradients();
        EXPECT_TRUE(optimizer->update_if_finite(1, 0.7, 1e-2));
        sharding->gather_parameters();
        EXPECT_TRUE(at::equal(weights.matrix.grad, at::zeros({5, 7}))) << zero;
        EXPECT_TRUE(at::equal(weights.vector.grad, at::zeros({11}))) << zero;
      }
      if (rank == 0)
        results.push_back(
            at::cat({weights.matrix.value.detach().flatten(), weights.vector.value.detach()}));
    });
  }
  ASSERT_EQ(results.size(), 5u);
  for (size_t i = 1; i < results.size(); ++i) EXPECT_TRUE(at::equal(results[i], results[0])) << i;
}

TEST(Optimizer, FilledStateGoesOnAsIfNeverStopped) {
  Mesh mesh(solo_group(), {});
  Weights first(at::kBFloat16), second(at::kBFloat16);
  const auto sharding = make_sharding(0, first.all(), mesh),
             other = make_sharding(0, second.all(), mesh);
  const auto optimizer = make_optimizer(kConfig, *sharding),
             resumed = make_optimizer(kConfig, *other);
  for (int i = 0; i < 3; ++i) first.fill_gradients(i), optimizer->update_if_finite(1, 1, 1e-2);
  const auto from = optimizer->state();
  auto to = resumed->state();
  for (size_t i = 0; i < from.size(); ++i) to[i].values.copy_(from[i].values);
  resumed->set_updates(optimizer->updates());
  resumed->refresh_values();
  EXPECT_TRUE(at::equal(first.matrix.value.detach(), second.matrix.value.detach()));
  first.fill_gradients(5), optimizer->update_if_finite(1, 1, 1e-2);
  second.fill_gradients(5), resumed->update_if_finite(1, 1, 1e-2);
  EXPECT_TRUE(at::equal(first.matrix.value.detach(), second.matrix.value.detach()));
  EXPECT_TRUE(at::equal(optimizer->state()[2].values, resumed->state()[2].values));
}

TEST(Optimizer, RefusesWhatItCanNotDoByName) {
  Mesh mesh(solo_group(), {});
  Weights weights;
  const auto sharding = make_sharding(0, weights.all(), mesh);
  EXPECT_THROW(make_optimizer({.optim = "adam"}, *sharding), std::invalid_argument);
  Weights half(at::kHalf);
  const auto half_sharding = make_sharding(0, half.all(), mesh);
  EXPECT_THROW(make_optimizer({}, *half_sharding), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

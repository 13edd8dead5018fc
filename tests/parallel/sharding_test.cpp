#include "parallel/sharding.h"

#include <gtest/gtest.h>

#include "parallel/norm.h"
#include "tests/parallel/backends.h"

namespace lathe {
namespace {

class ShardingContract : public testing::TestWithParam<Backend> {
 protected:
  void run(const std::function<void(Mesh&)>& body) {
    GetParam().run([&](std::unique_ptr<Group> world) {
      Mesh mesh(std::move(world), {});
      body(mesh);
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, ShardingContract, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param.name; });

// Small and large ones of two types, of no element too, and a frozen one between them.
struct Weights {
  std::vector<Parameter> parameters;

  Weights() {
    add("embedding", {19, 7}, at::kFloat);
    add("norm", {3}, at::kFloat);
    add("frozen", {5}, at::kFloat);
    add("up", {40, 5}, at::kBFloat16);
    add("nothing", {0}, at::kFloat);
    add("down", {5, 40}, at::kFloat);
    parameters[2].trained = false;
  }
  void add(const std::string& name, std::vector<int64_t> shape, at::ScalarType type) {
    const int64_t count = c10::multiply_integers(shape);
    const at::Tensor value = (at::arange(count) % 11 - 5).reshape(shape).to(type);
    parameters.push_back({.name = name, .value = value, .grad = {}, .trained = true});
  }
  std::vector<Parameter*> pointers() {
    std::vector<Parameter*> all;
    for (Parameter& parameter : parameters) all.push_back(&parameter);
    return all;
  }
};

// Small whole numbers that differ by rank, step and element, so that every sum is exact.
void add_gradients(Weights& weights, int rank, int step) {
  for (Parameter& parameter : weights.parameters) {
    if (!parameter.trained) continue;
    const at::Tensor index = at::arange(parameter.grad.numel()).reshape(parameter.grad.sizes());
    parameter.grad += (index * (rank + 1) + step) % 9;
  }
}

// value -= grad / 4: exact in both types while the numbers are small.
void update(Sharding& sharding) {
  for (Slice& slice : sharding.slices()) slice.value -= slice.grad / 4;
}

std::vector<at::Tensor> train(int zero, Mesh& mesh, std::vector<double>& norms) {
  Weights weights;
  const std::unique_ptr<Sharding> sharding = make_sharding(zero, weights.pointers(), mesh);
  const at::NoGradGuard no_grad;
  for (int step = 0; step < 3; ++step) {
    // Two micro-batches.
    for (int half = 0; half < 2; ++half) {
      sharding->begin_backward(0, true);
      add_gradients(weights, mesh.dp().rank(), step + half);
      sharding->finish_backward();
    }
    sharding->reduce_gradients();
    norms.push_back(gradient_norm(*sharding, mesh));
    update(*sharding);
    sharding->gather_parameters();
    sharding->zero_gradients();
  }
  sharding->begin_forward(0);
  std::vector<at::Tensor> values;
  for (Parameter& parameter : weights.parameters)
    values.push_back(parameter.value.detach().clone());
  return values;
}

TEST_P(ShardingContract, EveryStageTrainsAsReplicatedDoes) {
  run([](Mesh& mesh) {
    std::vector<double> norms;
    const std::vector<at::Tensor> expected = train(0, mesh, norms);
    ASSERT_EQ(norms.size(), 3u);
    EXPECT_GT(norms[0], 0);
    for (const int zero : {1, 2, 3}) {
      std::vector<double> other_norms;
      const std::vector<at::Tensor> values = train(zero, mesh, other_norms);
      ASSERT_EQ(values.size(), 6u);
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_TRUE(values[i].equal(expected[i])) << "zero " << zero << ", weight " << i;
      }
      // The squares are whole numbers: every order of additions is exact.
      EXPECT_EQ(norms, other_norms) << zero;
    }
  });
}

TEST_P(ShardingContract, GradientsAreSummedOverTheRanks) {
  run([](Mesh& mesh) {
    for (int zero : {0, 1, 2, 3}) {
      Weights weights;
      const std::unique_ptr<Sharding> sharding = make_sharding(zero, weights.pointers(), mesh);
      sharding->begin_backward(0, true);
      for (Parameter& parameter : weights.parameters) {
        if (parameter.trained) parameter.grad.fill_(mesh.dp().rank() + 1);
      }
      sharding->reduce_gradients();
      const int n = mesh.dp().size();
      for (const Slice& slice : sharding->slices()) {
        EXPECT_TRUE(slice.grad.equal(at::full_like(slice.grad, n * (n + 1) / 2))) << slice.name;
      }
      sharding->zero_gradients();
      for (const Slice& slice : sharding->slices()) {
        EXPECT_EQ(slice.grad.abs().sum().item<float>(), 0) << slice.name;
      }
      for (Parameter& parameter : weights.parameters) {
        if (!parameter.trained || zero >= 2) continue;
        EXPECT_EQ(parameter.grad.abs().sum().item<float>(), 0) << parameter.name;
      }
    }
  });
}

TEST_P(ShardingContract, TheSlicesOfAllRanksAreEveryElementOnce) {
  run([](Mesh& mesh) {
    for (const int zero : {1, 2, 3}) {
      Weights weights;
      const std::unique_ptr<Sharding> sharding = make_sharding(zero, weights.pointers(), mesh);
      EXPECT_FALSE(sharding->replicated());
      sharding->begin_forward(0);
      for (const Parameter& parameter : weights.parameters) {
        at::Tensor owners = at::zeros({parameter.value.numel()});
        for (const Slice& slice : sharding->slices()) {
          if (slice.name != parameter.name) continue;
          EXPECT_EQ(slice.shape, parameter.value.sizes().vec());
          EXPECT_GT(slice.value.numel(), 0);
          EXPECT_EQ(slice.value.scalar_type(), parameter.value.scalar_type());
          EXPECT_EQ(slice.grad.scalar_type(), at::kFloat);
          EXPECT_TRUE(slice.value.equal(
              parameter.value.detach().reshape({-1}).narrow(0, slice.offset, slice.value.numel())));
          owners.narrow(0, slice.offset, slice.value.numel()) += 1;
        }
        mesh.world().all_reduce(owners, Reduce::kSum);
        EXPECT_TRUE(owners.equal(at::full_like(owners, parameter.trained ? 1 : 0)))
            << parameter.name;
      }
    }
  });
}

// Three units, one begun at a time: elsewhere there is no memory.
TEST_P(ShardingContract, WhatAUnitDoesNotUseIsNotThere) {
  run([](Mesh& mesh) {
    Weights weights;
    const std::vector<int> units{0, 1, 1, 1, 2, 2};
    const std::vector<at::Tensor> before = [&] {
      std::vector<at::Tensor> values;
      for (const Parameter& parameter : weights.parameters)
        values.push_back(parameter.value.clone());
      return values;
    }();
    const auto sharding = make_sharding(3, weights.pointers(), mesh, kBucketAlign, units);
    EXPECT_EQ(sharding->num_units(), 3);
    EXPECT_TRUE(sharding->meets_in_passes());
    for (int unit = 0; unit < 3; ++unit) {
      sharding->begin_forward(unit);
      for (size_t i = 0; i < units.size(); ++i) {
        const at::Tensor& value = weights.parameters[i].value;
        if (value.numel() == 0) continue;
        EXPECT_EQ(value.storage().nbytes() > 0, units[i] == unit) << unit << ", weight " << i;
        if (units[i] == unit) { EXPECT_TRUE(value.equal(before[i])) << i; }
      }
      sharding->end_forward(unit);
    }
    sharding->begin_backward(1, false);
    EXPECT_GT(weights.parameters[1].grad.storage().nbytes(), 0u);
    EXPECT_EQ(weights.parameters[0].grad.storage().nbytes(), 0u);
    EXPECT_EQ(weights.parameters[1].value.storage().nbytes(), 0u);
    sharding->finish_backward();
    EXPECT_EQ(weights.parameters[1].grad.storage().nbytes(), 0u);
  });
}

TEST_P(ShardingContract, ReplicatedRanksOwnEverything) {
  run([](Mesh& mesh) {
    Weights weights;
    const std::unique_ptr<Sharding> sharding = make_sharding(0, weights.pointers(), mesh);
    EXPECT_TRUE(sharding->replicated());
    std::vector<std::string> names;
    for (const Slice& slice : sharding->slices()) names.push_back(slice.name);
    EXPECT_EQ(names, (std::vector<std::string>{"embedding", "norm", "down", "up"}));
  });
}

TEST_P(ShardingContract, NothingToTrainIsNoFault) {
  run([](Mesh& mesh) {
    for (int zero : {0, 1, 2, 3}) {
      const std::unique_ptr<Sharding> sharding = make_sharding(zero, {}, mesh);
      sharding->reduce_gradients();
      EXPECT_EQ(gradient_norm(*sharding, mesh), 0);
      sharding->gather_parameters();
      sharding->zero_gradients();
    }
  });
}

TEST_P(ShardingContract, RefusesStagesThatAreNotThere) {
  run([](Mesh& mesh) {
    for (int zero : {-1, 4}) {
      try {
        make_sharding(zero, {}, mesh);
        ADD_FAILURE() << "zero " << zero << " was accepted";
      } catch (const std::invalid_argument& error) {
        EXPECT_EQ(std::string(error.what()),
                  "parallel.zero is " + std::to_string(zero) +
                      ", expected 0 (every rank holds everything), or what is split over dp: 1 "
                      "(optimiser state), 2 (gradients too), 3 (weights too)");
      }
    }
  });
}

}  // namespace
}  // namespace lathe

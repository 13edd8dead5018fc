#include <gtest/gtest.h>

#include "parallel/sharding.h"
#include "tests/parallel/backends.h"

// ZeRO 2 and 3 with sums and values travelling beside the passes: the same bits as without, and
// what is there when.
namespace lathe {
namespace {

class OverlapContract : public BackendTest {};

INSTANTIATE_TEST_SUITE_P(Backends, OverlapContract, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param.name; });

constexpr int kUnits = 4;

// Two parameters in each unit, of two types; of the first unit one is frozen.
struct Weights {
  std::vector<Parameter> parameters;
  std::vector<int> units;

  Weights() {
    for (int unit = 0; unit < kUnits; ++unit) {
      add(unit, {19, 7 + unit}, at::kFloat);
      add(unit, {5, 8}, at::kBFloat16);
    }
    parameters[1].trained = false;
  }
  void add(int unit, std::vector<int64_t> shape, at::ScalarType type) {
    const at::Tensor value =
        (at::arange(c10::multiply_integers(shape)) % 11 - 5).div(7).reshape(shape).to(type);
    const std::string name = "weight" + std::to_string(parameters.size());
    parameters.push_back({.name = name, .value = value, .grad = {}, .trained = true});
    units.push_back(unit);
  }
  std::vector<Parameter*> pointers() {
    std::vector<Parameter*> all;
    for (Parameter& parameter : parameters) all.push_back(&parameter);
    return all;
  }
  // Values must be whole: they decide the gradients.
  void add_gradients(int unit, int rank, int step) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      Parameter& parameter = parameters[i];
      if (units[i] != unit || !parameter.trained) continue;
      parameter.grad += parameter.value.detach().to(at::kFloat).mul(rank + 0.3).sin() / (step + 3);
    }
  }
  std::vector<bool> here(bool of_values) const {
    std::vector<bool> there(kUnits);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& tensor = of_values ? parameters[i].value : parameters[i].grad;
      if (tensor.defined() && tensor.storage().nbytes() > 0) there[units[i]] = true;
    }
    return there;
  }
};

struct Rig {
  Weights weights;
  Mesh mesh;
  std::unique_ptr<Sharding> sharding;

  Rig(Group& world, int zero, bool overlap)
      : mesh(world.split(0), {.overlap = overlap}),
        sharding(make_sharding(zero, weights.pointers(), mesh, kBucketAlign, weights.units)) {}

  void forward() {
    sharding->begin_pass();
    for (int unit = 0; unit < kUnits; ++unit) {
      sharding->begin_forward(unit);
      sharding->end_forward(unit);
    }
  }
  void backward(int step) {
    for (int unit = kUnits - 1; unit >= 0; --unit) {
      sharding->begin_backward(unit, true);
      weights.add_gradients(unit, mesh.dp().rank(), step);
      // The last stays for finish_backward, as a tied head does.
      if (unit > 0) sharding->end_backward(unit);
    }
    sharding->finish_backward();
  }
  void update() {
    const at::NoGradGuard no_grad;
    sharding->reduce_gradients();
    for (Slice& slice : sharding->slices())
      slice.value.sub_(slice.grad.to(slice.value.scalar_type()));
    sharding->gather_parameters();
    sharding->zero_gradients();
  }
  // Once what is under way has come.
  void change_values(double to) {
    if (Background* beside = mesh.beside()) beside->wait(beside->give([](Group&) {}));
    for (Slice& slice : sharding->slices()) slice.value.fill_(to);
  }
  std::vector<at::Tensor> values() {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> all;
    sharding->begin_pass();
    for (int unit = 0; unit < kUnits; ++unit) {
      sharding->begin_forward(unit);
      for (size_t i = 0; i < weights.parameters.size(); ++i) {
        if (weights.units[i] == unit) all.push_back(weights.parameters[i].value.detach().clone());
      }
      sharding->end_forward(unit);
    }
    return all;
  }
};

// Two micro-batches a step; an evaluation now and then.
std::vector<std::vector<at::Tensor>> train(Group& world, int zero, bool overlap) {
  Rig rig(world, zero, overlap);
  std::vector<std::vector<at::Tensor>> all;
  for (int step = 0; step < 6; ++step) {
    for (int half = 0; half < 2; ++half) {
      rig.forward();
      rig.backward(step + half);
    }
    rig.update();
    if (step % 2 == 1) all.push_back(rig.values());
  }
  return all;
}

TEST_P(OverlapContract, GivesTheSameBits) {
  run([](Group& world) {
    for (const int zero : {2, 3}) {
      const auto expected = train(world, zero, false), found = train(world, zero, true);
      ASSERT_EQ(expected.size(), 3u);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(expected[i].size(), 2u * kUnits);
        for (size_t k = 0; k < expected[i].size(); ++k)
          EXPECT_TRUE(found[i][k].equal(expected[i][k])) << zero << ", " << i << ", weight " << k;
      }
    }
  });
}

using There = std::vector<bool>;

TEST_P(OverlapContract, TheNextUnitsValuesComeBesideAUnitsUse) {
  run([](Group& world) {
    if (world.size() == 1) return;
    Rig rig(world, 3, true);
    Sharding& sharding = *rig.sharding;
    rig.forward();
    rig.backward(0);
    rig.update();
    EXPECT_EQ(rig.weights.here(true), There(kUnits, false));
    // As it was the first time.
    sharding.begin_pass();
    for (int unit = 0; unit < kUnits; ++unit) {
      There expected(kUnits, false);
      expected[unit] = expected[std::min(unit + 1, kUnits - 1)] = true;
      sharding.begin_forward(unit);
      EXPECT_EQ(rig.weights.here(true), expected) << unit;
      sharding.end_forward(unit);
    }
    // The last one's values stay for its backward.
    EXPECT_EQ(rig.weights.here(true), (There{false, false, false, true}));
    for (int unit = kUnits - 1; unit > 0; --unit) {
      There expected(kUnits, false);
      expected[unit] = expected[unit - 1] = true;
      sharding.begin_backward(unit, true);
      EXPECT_EQ(rig.weights.here(true), expected) << unit;
      sharding.end_backward(unit);
    }
    sharding.finish_backward();
    EXPECT_EQ(rig.weights.here(true), There(kUnits, false));
    sharding.reduce_gradients();
  });
}

TEST_P(OverlapContract, OneUnitsGradientsAreSummedBesideTheNextOnesBackward) {
  run([](Group& world) {
    if (world.size() == 1) return;
    for (const int zero : {2, 3}) {
      Rig rig(world, zero, true);
      Sharding& sharding = *rig.sharding;
      for (int unit = kUnits - 1; unit >= 0; --unit) {
        There expected(kUnits, false);
        expected[unit] = expected[std::min(unit + 1, kUnits - 1)] = true;
        sharding.begin_backward(unit, true);
        EXPECT_EQ(rig.weights.here(false), expected) << unit;
        sharding.end_backward(unit);
      }
      sharding.reduce_gradients();
      EXPECT_EQ(rig.weights.here(false), There(kUnits, false));
    }
  });
}

TEST_P(OverlapContract, AUnitMayBeSummedAgainAtOnce) {
  run([](Group& world) {
    Rig rig(world, 2, true);
    for (int again = 0; again < 3; ++again) {
      rig.sharding->begin_backward(2, true);
      rig.weights.parameters[4].grad.fill_(1);
      rig.sharding->end_backward(2);
    }
    rig.sharding->reduce_gradients();
    for (const Slice& slice : rig.sharding->slices()) {
      const float expected = slice.name == "weight4" ? 3.0f * static_cast<float>(world.size()) : 0;
      EXPECT_TRUE(slice.grad.equal(at::full_like(slice.grad, expected))) << slice.name;
    }
  });
}

// Values that came ahead of a use that did not come, or stayed for it, are of before the change.
TEST_P(OverlapContract, ValuesThatChangeBetweenPassesAreSeen) {
  run([](Group& world) {
    const at::NoGradGuard no_grad;
    Rig rig(world, 3, true);
    Sharding& sharding = *rig.sharding;
    for (int pass = 0; pass < 2; ++pass) {
      sharding.begin_pass();
      for (const int unit : {0, 1, 1}) {
        sharding.begin_forward(unit);
        sharding.end_forward(unit);
      }
    }
    sharding.begin_pass();
    sharding.begin_forward(0);  // 1 comes
    sharding.end_forward(0);
    rig.change_values(3);
    sharding.begin_pass();
    sharding.begin_forward(1);
    EXPECT_TRUE(rig.weights.parameters[2].value.equal(at::full({19, 8}, 3)));
    sharding.end_forward(1);

    sharding.begin_pass();
    for (const int unit : {0, 1}) {
      sharding.begin_forward(unit);
      sharding.end_forward(unit);  // the second time 1 stays
    }
    rig.change_values(4);
    sharding.begin_pass();
    sharding.begin_forward(1);
    EXPECT_TRUE(rig.weights.parameters[2].value.equal(at::full({19, 8}, 4)));
    sharding.end_forward(1);
  });
}

TEST_P(OverlapContract, AnotherOrderThanBeforeIsNoFault) {
  run([](Group& world) {
    Rig rig(world, 3, true);
    std::vector<at::Tensor> expected = rig.values();
    for (const std::vector<int>& order :
         {std::vector<int>{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 3, 1}, {3, 2, 1, 0}, {0, 0, 2}, {0, 1}}) {
      rig.sharding->begin_pass();
      for (const int unit : order) {
        rig.sharding->begin_forward(unit);
        rig.sharding->begin_forward(unit);
        const auto& values = rig.weights.parameters;
        EXPECT_TRUE(values[2 * unit].value.equal(expected[2 * unit])) << unit;
        EXPECT_TRUE(values[2 * unit + 1].value.equal(expected[2 * unit + 1])) << unit;
        rig.sharding->end_forward(unit);
      }
    }
  });
}

TEST_P(OverlapContract, EndsWithWorkUnderWay) {
  run([](Group& world) {
    for (int round = 0; round < 5; ++round) {
      Rig rig(world, 3, true);
      rig.forward();
      rig.sharding->begin_pass();
      rig.sharding->begin_forward(0);
      rig.sharding->begin_backward(2, true);
      rig.sharding->end_backward(2);
    }
    world.barrier();
  });
}

}  // namespace
}  // namespace lathe

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "parallel/local_group.h"
#include "trainer/optimizer.h"
#include "trainer/optimizers/blockwise.h"

// Each kind of optimiser against its published formula, written plainly; and what all of them
// promise: the same update however slices are cut, and state that goes on as if never stopped.
namespace lathe {
namespace {

constexpr double kRate = 0.01, kDecay = 0.1;

// A matrix of a block, an embedding and a vector.
struct Weights {
  std::vector<Parameter> list;

  explicit Weights(at::ScalarType type = at::kFloat) {
    add("model.layers.0.mlp.up_proj.weight", {40, 120}, type);
    add("model.embed_tokens.weight", {6, 8}, type);
    add("model.norm.weight", {11}, type);
  }
  void add(const std::string& name, at::IntArrayRef shape, at::ScalarType type) {
    const int64_t n = at::zeros(shape).numel();
    const at::Tensor value =
        ((at::arange(n, at::kFloat) * 0.7 + static_cast<double>(list.size())).cos() * 0.5)
            .view(shape)
            .to(type);
    list.push_back({.name = name, .value = value.set_requires_grad(true), .grad = {}});
  }
  std::vector<Parameter*> all() { return {&list[0], &list[1], &list[2]}; }
};

at::Tensor gradient(const Parameter& p, int update) {
  return (at::arange(p.value.numel(), at::kFloat) * 0.37 + update).sin().view(p.value.sizes()) *
         (0.5 + update);
}

void fill(Weights& weights, int update) {
  for (Parameter* p : weights.all()) p->grad.copy_(gradient(*p, update));
}

std::unique_ptr<Sharding> shard(int zero, Weights& weights, Mesh& mesh, const OptimizerConfig& c) {
  return make_sharding(zero, weights.all(), mesh, slice_alignment(c));
}

// What a plain reference keeps of one parameter.
struct Plain {
  at::Tensor p, m, v, row, column;
};
using Rule = std::function<void(Plain&, const at::Tensor& g, int update, double decay,
                                const std::string& name)>;

// Five updates by the optimiser and by the rule.
void expect_rule(const OptimizerConfig& config, const Rule& rule, double tolerance) {
  SCOPED_TRACE(config.optim);
  Mesh mesh(solo_group(), {});
  Weights weights;
  std::vector<Plain> plain;
  for (Parameter* p : weights.all()) {
    const at::Tensor value = p->value.detach().clone();
    plain.push_back({value, at::zeros_like(value), at::zeros_like(value),
                     value.dim() > 1 ? at::zeros({value.size(0)}) : at::Tensor(),
                     value.dim() > 1 ? at::zeros({value.size(1)}) : at::Tensor()});
  }
  const auto sharding = shard(0, weights, mesh, config);
  const auto optimizer = make_optimizer(config, *sharding);
  for (int update = 1; update <= 5; ++update) {
    fill(weights, update);
    ASSERT_TRUE(optimizer->update_if_finite(1, 0.5, kRate));
    for (size_t i = 0; i < plain.size(); ++i) {
      const Parameter& p = *weights.all()[i];
      rule(plain[i], gradient(p, update) * 0.5, update, p.value.dim() > 1 ? kDecay : 0, p.name);
      EXPECT_LT((p.value.detach() - plain[i].p).abs().max().item<double>(), tolerance)
          << p.name << " after update " << update;
      EXPECT_TRUE(at::equal(p.grad, at::zeros_like(p.grad)));
    }
  }
}

void adamw_rule(Plain& s, const at::Tensor& g, int update, double decay, const std::string&) {
  s.p = s.p * (1 - kRate * decay);
  s.m = 0.9 * s.m + 0.1 * g;
  s.v = 0.999 * s.v + 0.001 * g * g;
  const at::Tensor m = s.m / (1 - std::pow(0.9, update)), v = s.v / (1 - std::pow(0.999, update));
  s.p = s.p - kRate * m / (v.sqrt() + 1e-8);
}

TEST(Optimizers, AdamWIsThePublishedFormula) {
  expect_rule({.weight_decay = kDecay}, adamw_rule, 1e-6);
}

TEST(Optimizers, AdamWInFewerBitsFollowsTheSameFormula) {
  // Moments keep about two digits in eight bits, and three in bfloat16; steps are 0.01 at most.
  expect_rule({.optim = "adamw_8bit", .weight_decay = kDecay}, adamw_rule, 5e-3);
  expect_rule({.weight_decay = kDecay, .optim_state_dtype = "bf16"}, adamw_rule, 1e-3);
}

TEST(Optimizers, SgdIsTorchs) {
  expect_rule(
      {.optim = "sgd", .weight_decay = kDecay, .sgd_momentum = 0.9},
      [](Plain& s, at::Tensor g, int, double decay, const std::string&) {
        g = g + decay * s.p;
        s.m = 0.9 * s.m + g;
        s.p = s.p - kRate * s.m;
      },
      1e-6);
}

TEST(Optimizers, LionIsThePublishedFormula) {
  expect_rule(
      {.optim = "lion", .weight_decay = kDecay, .adam_beta2 = 0.99},
      [](Plain& s, const at::Tensor& g, int, double decay, const std::string&) {
        const at::Tensor u = (0.9 * s.m + 0.1 * g).sign();
        s.p = s.p - kRate * (u + decay * s.p);
        s.m = 0.99 * s.m + 0.01 * g;
      },
      1e-6);
}

TEST(Optimizers, AdafactorIsHuggingFaces) {
  expect_rule(
      {.optim = "adafactor", .weight_decay = kDecay},
      [](Plain& s, const at::Tensor& g, int update, double decay, const std::string&) {
        const double beta2 = 1 - std::pow(update, -0.8);
        const at::Tensor square = g * g + 1e-30;
        at::Tensor u;
        if (g.dim() > 1) {
          s.row = s.row * beta2 + square.mean(1) * (1 - beta2);
          s.column = s.column * beta2 + square.mean(0) * (1 - beta2);
          u = g / at::outer(s.row / s.row.mean(), s.column).sqrt();
        } else {
          s.v = s.v * beta2 + square * (1 - beta2);
          u = g / s.v.sqrt();
        }
        u = u / std::max(1.0, u.square().mean().sqrt().item<double>());
        s.p = s.p * (1 - kRate * decay) - kRate * u;
      },
      1e-6);
}

TEST(Optimizers, MuonOrthogonalizesTheMatricesOfBlocks) {
  expect_rule(
      {.optim = "muon", .weight_decay = kDecay},
      [](Plain& s, const at::Tensor& g, int update, double decay, const std::string& name) {
        if (name.find("layers") == std::string::npos) return adamw_rule(s, g, update, decay, name);
        s.m = 0.95 * s.m + 0.05 * g;
        at::Tensor x = 0.05 * g + 0.95 * s.m;
        x = x / x.norm();
        for (int i = 0; i < 5; ++i) {
          const at::Tensor a = at::mm(x, x.t());
          x = 3.4445 * x + at::mm(-4.7750 * a + 2.0315 * at::mm(a, a), x);
        }
        s.p = s.p * (1 - kRate * decay) - kRate * 0.2 * std::sqrt(120.0) * x;
      },
      1e-5);
}

std::vector<OptimizerConfig> kinds() {
  std::vector<OptimizerConfig> all;
  for (const char* optim : {"adamw", "adamw_8bit", "sgd", "lion", "adafactor", "muon"})
    all.push_back({.optim = optim, .weight_decay = kDecay, .sgd_momentum = 0.9, .ema_decay = 0.9});
  all.push_back({.optim_state_dtype = "bf16"});
  all.push_back({.stochastic_rounding = true});
  all.push_back({.optim = "adamw_8bit", .stochastic_rounding = true});
  return all;
}

at::Tensor values_of(Weights& weights) {
  std::vector<at::Tensor> all;
  for (Parameter* p : weights.all()) all.push_back(p->value.detach().flatten().to(at::kFloat));
  return at::cat(all).clone();
}

TEST(Optimizers, EveryShardingMakesTheSameUpdate) {
  for (const OptimizerConfig& config : kinds()) {
    std::vector<at::Tensor> results;
    for (const auto& [ranks, zero] :
         {std::pair(1, 0), std::pair(1, 1), std::pair(2, 0), std::pair(2, 1), std::pair(3, 1)}) {
      if (needs_whole_parameters(config) && ranks > 1 && zero == 1) continue;
      run_local(ranks, [&](std::unique_ptr<Group> group) {
        const int rank = group->rank();
        Mesh mesh(std::move(group), {});
        Weights weights(at::kBFloat16);
        const auto sharding = shard(zero, weights, mesh, config);
        const auto optimizer = make_optimizer(config, *sharding);
        for (int update = 1; update <= 3; ++update) {
          if (rank == 0) fill(weights, update);
          sharding->reduce_gradients();
          EXPECT_TRUE(optimizer->update_if_finite(1, 0.7, kRate));
          sharding->gather_parameters();
        }
        if (rank == 0) results.push_back(values_of(weights));
      });
    }
    ASSERT_GE(results.size(), 3u);
    for (size_t i = 1; i < results.size(); ++i)
      EXPECT_TRUE(at::equal(results[i], results[0])) << config.optim << " " << i;
  }
}

TEST(Optimizers, FilledStateGoesOnAsIfNeverStopped) {
  for (const OptimizerConfig& config : kinds()) {
    SCOPED_TRACE(config.optim + " " + config.optim_state_dtype);
    Mesh mesh(solo_group(), {});
    Weights first(at::kBFloat16), second(at::kBFloat16);
    const auto sharding = shard(1, first, mesh, config), other = shard(1, second, mesh, config);
    const auto optimizer = make_optimizer(config, *sharding),
               resumed = make_optimizer(config, *other);
    for (int update = 1; update <= 3; ++update)
      fill(first, update), optimizer->update_if_finite(1, 1, kRate);
    const auto from = optimizer->state();
    auto to = resumed->state();
    ASSERT_EQ(from.size(), to.size());
    for (size_t i = 0; i < from.size(); ++i) {
      EXPECT_EQ(from[i].name, to[i].name);
      EXPECT_EQ(from[i].values.scalar_type(), at::kFloat) << from[i].name;
      to[i].values.copy_(from[i].values);
    }
    resumed->set_updates(optimizer->updates());
    resumed->refresh_values();
    EXPECT_TRUE(at::equal(values_of(first), values_of(second)));
    for (int update = 4; update <= 6; ++update) {
      fill(first, update), optimizer->update_if_finite(1, 1, kRate);
      fill(second, update), resumed->update_if_finite(1, 1, kRate);
    }
    EXPECT_TRUE(at::equal(values_of(first), values_of(second)));
    const auto a = optimizer->state(), b = resumed->state();
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(at::equal(a[i].values, b[i].values)) << a[i].name;
  }
}

TEST(Optimizers, StochasticRoundingKeepsStepsThatAreTooSmall) {
  Mesh mesh(solo_group(), {});
  Weights weights(at::kBFloat16);
  const OptimizerConfig config{.stochastic_rounding = true};
  const auto sharding = shard(0, weights, mesh, config);
  const auto optimizer = make_optimizer(config, *sharding);
  {
    const at::NoGradGuard no_grad;
    weights.list[0].value.fill_(1);
  }
  for (int i = 0; i < 20; ++i) {  // 20 steps of 1e-4; neighbours of 1 are 4e-3 away
    weights.list[0].grad.fill_(1);
    optimizer->update_if_finite(1, 1, 1e-4);
  }
  EXPECT_NEAR(weights.list[0].value.detach().to(at::kFloat).mean().item<double>(), 1 - 20e-4, 2e-4);
}

TEST(Optimizers, GroupsHaveRatesOfTheirOwn) {
  Mesh mesh(solo_group(), {});
  Weights weights, plain;
  const OptimizerConfig config{.optim = "sgd",
                               .lr_groups = {{"embed_tokens", 0}, {R"(mlp\.up)", 0.5}}};
  const auto sharding = shard(0, weights, mesh, config), other = shard(0, plain, mesh, config);
  const auto optimizer = make_optimizer(config, *sharding),
             reference = make_optimizer({.optim = "sgd"}, *other);
  const at::Tensor up = weights.list[0].value.detach().clone(),
                   embedding = weights.list[1].value.detach().clone();
  fill(weights, 1), fill(plain, 1);
  optimizer->update_if_finite(1, 1, 1), reference->update_if_finite(1, 1, 1);
  EXPECT_TRUE(at::equal(weights.list[1].value.detach(), embedding));
  EXPECT_TRUE(at::equal(weights.list[2].value.detach(), plain.list[2].value.detach()));
  EXPECT_LT((weights.list[0].value.detach() - (up + plain.list[0].value.detach()) / 2)
                .abs()
                .max()
                .item<double>(),
            1e-6);
}

TEST(Optimizers, AverageIsThatOfTheWeightsAfterEachUpdate) {
  Mesh mesh(solo_group(), {});
  Weights weights;
  const OptimizerConfig config{.ema_decay = 0.75};
  const auto sharding = shard(0, weights, mesh, config);
  const auto optimizer = make_optimizer(config, *sharding);
  at::Tensor average = values_of(weights);
  for (int update = 1; update <= 4; ++update) {
    fill(weights, update), optimizer->update_if_finite(1, 1, kRate);
    average = 0.75 * average + 0.25 * values_of(weights);
  }
  EXPECT_TRUE(optimizer->use_average());
  EXPECT_LT((values_of(weights) - average).abs().max().item<double>(), 1e-6);
}

TEST(Optimizers, SayWhichOfThemNeedWholeParameters) {
  for (const char* optim : {"muon", "adafactor"}) {
    std::atomic<int> refused = 0;
    run_local(2, [&](std::unique_ptr<Group> group) {
      Mesh mesh(std::move(group), {});
      Weights weights;
      const auto sharding = shard(1, weights, mesh, {.optim = optim});
      try {
        make_optimizer({.optim = optim}, *sharding);
      } catch (const std::invalid_argument& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("parallel.zero: 0"));
        ++refused;
      }
    });
    EXPECT_GE(refused, 1) << optim;
  }
}

TEST(Blockwise, CodesAreTheReferences) {
  const auto with_sign = dynamic_code(true), without = dynamic_code(false);
  EXPECT_TRUE(std::ranges::is_sorted(with_sign));
  // Of bitsandbytes.functional.create_dynamic_map.
  EXPECT_FLOAT_EQ(with_sign[0], -0.99296875f);
  EXPECT_FLOAT_EQ(with_sign[127], 0);
  EXPECT_FLOAT_EQ(with_sign[128], 5.5e-7f);
  EXPECT_FLOAT_EQ(with_sign[254], 0.99296875f);
  EXPECT_FLOAT_EQ(with_sign[255], 1);
  EXPECT_FLOAT_EQ(without[0], 0);
  EXPECT_FLOAT_EQ(without[1], 3.25e-7f);
  EXPECT_FLOAT_EQ(without[254], 0.99648438f);
  EXPECT_FLOAT_EQ(without[255], 1);
}

TEST(Blockwise, EveryNumberBecomesTheNearestOne) {
  for (const bool is_signed : {true, false}) {
    const BlockCode code(is_signed);
    const auto table = dynamic_code(is_signed);
    for (int i = 0; i <= 4000; ++i) {
      const float x =
          is_signed ? static_cast<float>(i - 2000) / 2000 : static_cast<float>(i) / 4000;
      float best = 9;
      for (const float value : table) best = std::min(best, std::abs(value - x));
      EXPECT_NEAR(std::abs(table[code.nearest(x)] - x), best, 1e-7) << x;  // ties
    }
    for (int i = 0; i < 256; ++i) EXPECT_EQ(code.nearest(table[i]), i);
    // On and beside every border, and on whatever else; the lower one of two that are as near.
    std::mt19937 random(1);
    for (int i = 0; i < 200000; ++i) {
      float x = std::ldexp(std::uniform_real_distribution<float>(-1, 1)(random), -(i % 33));
      if (i < 3 * 255) {
        const auto k = static_cast<size_t>(i / 3);
        x = (table[k] + table[k + 1]) / 2;
        if (i % 3 > 0) x = std::nextafter(x, i % 3 == 1 ? -2.0f : 2.0f);
      }
      int expected = 0;
      while (expected < 255 && x > (table[expected] + table[expected + 1]) / 2) ++expected;
      ASSERT_EQ(code.nearest(x), expected) << x;
    }
  }
}

}  // namespace
}  // namespace lathe

#include "trainer/backward_optimizer.h"

#include "tests/trainer/layouts.h"

namespace lathe {
namespace {

// Twelve steps without clipping, updated in the backward or behind it.
struct Outcome {
  LayoutOutcome trained;
  int64_t gradient_bytes = 0;  // that rank 0 holds between two steps
  std::vector<StateSlice> state;
};

int64_t held_bytes(Sharding& sharding) {
  int64_t bytes = 0;
  for (const Slice& slice : sharding.slices()) {
    if (slice.grad.storage().nbytes() > 0) bytes += slice.grad.numel() * 4;
  }
  return bytes;
}

Outcome train(const Trained& trained, const Layout& layout, const OptimizerConfig& config,
              bool spoil = false) {
  Outcome outcome;
  on_layout(layout, [&](Mesh& mesh) {
    TrainedParts parts = make_parts(trained, layout, mesh);
    const auto sharding =
        shard_model(layout.zero, *parts.model, parts.parameters(), mesh, slice_alignment(config));
    const auto optimizer = config.optimizer_in_bwd
                               ? make_backward_optimizer(config, *sharding, mesh)
                               : make_optimizer(config, *sharding);
    TinyData data{.rows_per_epoch = 3 * kLayoutRows,
                        .rows_per_micro_batch = kLayoutRows / layout.dp,
                        .micro_batches = 1,
                        .rank = mesh.dp().rank(),
                        .size = mesh.dp().size()};
    Metrics metrics{""};
    int64_t steps = 0;
    const Objective objective = [&](Model& model, const Batch& batch) {
      LossSum loss = cross_entropy(model, batch);
      if (spoil && ++steps == 2) loss.sum = loss.sum * std::numeric_limits<double>::infinity();
      return loss;
    };
    Trainer trainer({.mesh = mesh,
                     .model = *parts.model,
                     .objective = objective,
                     .sharding = *sharding,
                     .optimizer = *optimizer,
                     .batches = tiny_batches(data),
                     .metrics = metrics},
                    {.train = {.max_steps = 12},
                     .schedule = {.lr_scheduler_type = "linear"},
                     .learning_rate = 2e-3,
                     .max_grad_norm = 0,
                     .seed = 9});
    LayoutOutcome& told = outcome.trained;
    for (int step = 0; step < 12; ++step) {
      const StepStats stats = trainer.step();
      EXPECT_EQ(stats.applied, !(spoil && step == 1));
      if (mesh.world().rank() != 0) continue;
      told.losses.push_back(stats.loss);
      told.norms.push_back(stats.grad_norm);
    }
    std::map<std::string, at::Tensor> weights;
    with_whole_weights(*parts.model, parts.parameters(), *sharding, mesh,
                       [&](const WeightSource& source) {
                         for (const Parameter* each : parts.parameters())
                           weights[each->name] = source(each->name).clone();
                       });
    if (mesh.world().rank() != 0) return;
    told.weights = weights;
    outcome.gradient_bytes = held_bytes(*sharding);
    for (const StateSlice& each : optimizer->state()) {
      outcome.state.push_back(each);
      outcome.state.back().values = each.values.clone();
    }
    EXPECT_EQ(optimizer->updates(), spoil ? 11 : 12);
  });
  return outcome;
}

OptimizerConfig config_of(const std::string& optim, bool in_bwd) {
  return {.optim = optim,
          .weight_decay = 0.1,
          .adam_epsilon = 1e-6,
          .max_grad_norm = 0,
          .optimizer_in_bwd = in_bwd,
          .ema_decay = 0.9};
}

// Of one rank even the bits are the same: no sum is made in another order, but the norm's.
TEST(BackwardOptimizer, GivesWhatUpdatingBehindTheBackwardGives) {
  for (const char* optim : {"adamw", "adamw_8bit", "lion", "muon"}) {
    for (const char* tied : {"true", "false"}) {
      SCOPED_TRACE(std::string(optim) + ", tied: " + tied);
      const Trained trained{"llama", Trained::Kind::kFull,
                            std::string(R"(, "tie_word_embeddings": )") + tied};
      const Layout layout{.zero = 2};
      const Outcome behind = train(trained, layout, config_of(optim, false)),
                    within = train(trained, layout, config_of(optim, true));
      EXPECT_EQ(within.trained.losses, behind.trained.losses);
      for (const auto& [name, weight] : behind.trained.weights)
        EXPECT_TRUE(at::equal(within.trained.weights.at(name), weight)) << name;
      expect_close(within.trained, behind.trained);
      EXPECT_GT(behind.gradient_bytes, 0);
      EXPECT_EQ(within.gradient_bytes, 0);
      std::map<std::string, at::Tensor> states;
      for (const StateSlice& each : behind.state) states[each.name] = each.values;
      ASSERT_EQ(within.state.size(), behind.state.size());
      for (const StateSlice& each : within.state)
        EXPECT_TRUE(at::equal(each.values, states.at(each.name))) << each.name;
    }
  }
}

TEST(BackwardOptimizer, GivesTheSameOnEveryLayout) {
  for (const Trained& trained :
       {Trained{"qwen3", Trained::Kind::kFull, R"(, "tie_word_embeddings": true)"},
        Trained{"llama", Trained::Kind::kLora}}) {
    const Outcome expected = train(trained, {.zero = 2}, config_of("adamw", false));
    for (const Layout& layout : {Layout{.dp = 2, .zero = 2}, Layout{.dp = 2, .zero = 3},
                                 Layout{.tp = 2, .zero = 2}, Layout{.dp = 2, .tp = 2, .zero = 3}}) {
      SCOPED_TRACE(trained.text() + ": " + layout.text());
      expect_close(train(trained, layout, config_of("adamw", true)).trained, expected.trained);
    }
  }
}

TEST(BackwardOptimizer, GivesTheSameBitsWithOverlap) {
  const Trained trained{"qwen3", Trained::Kind::kFull, R"(, "tie_word_embeddings": true)"};
  for (const int zero : {2, 3}) {
    const Layout plain{.dp = 2, .zero = zero}, overlapped{.dp = 2, .zero = zero, .overlap = true};
    expect_same_bits(train(trained, plain, config_of("adamw", true)).trained,
                     train(trained, overlapped, config_of("adamw", true)).trained);
  }
}

TEST(BackwardOptimizer, LeavesOutWhatIsNotFinite) {
  const Outcome outcome = train({"llama"}, {.zero = 2}, config_of("adamw", true), true);
  EXPECT_FALSE(std::isfinite(outcome.trained.norms[1]));
  for (const auto& [name, weight] : outcome.trained.weights)
    EXPECT_TRUE(at::isfinite(weight).all().item<bool>()) << name;
}

TEST(BackwardOptimizer, NeedsUnits) {
  on_layout({}, [](Mesh& mesh) {
    TrainedParts parts = make_parts({"llama"}, {}, mesh);
    const auto sharding = shard_model(1, *parts.model, parts.parameters(), mesh, kBucketAlign);
    EXPECT_THROW(make_backward_optimizer({}, *sharding, mesh), std::logic_error);
  });
}

}  // namespace
}  // namespace lathe

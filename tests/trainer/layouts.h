#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/tiny.h"
#include "trainer/lora.h"
#include "trainer/models/linear_layer.h"
#include "trainer/trainer.h"
#include "trainer/whole_weights.h"

// The same twelve steps under any layout: how the ranks stand, what is cut over them, and in how
// many micro-batches a step comes. What they leave has to be the same but for rounding.
namespace lathe {

struct Layout {
  int dp = 1, tp = 1, zero = 1;
  bool sequence = true;
  int64_t accumulation = 1;
  bool overlap = false;
  Checkpointing checkpointing = Checkpointing::kOff;

  int ranks() const { return dp * tp; }
  MeshShape shape() const { return {.dp = dp, .tp = tp, .overlap = overlap}; }
  std::string text() const {
    return "dp " + std::to_string(dp) + ", tp " + std::to_string(tp) + ", zero " +
           std::to_string(zero) + (sequence ? ", tokens shared" : "") + ", " +
           std::to_string(accumulation) + " micro-batches" + (overlap ? ", overlap" : "") +
           (checkpointing == Checkpointing::kOff ? "" : ", checkpointing");
  }
};

// A family and what of it is trained.
struct Trained {
  std::string family;
  enum class Kind { kFull, kLora, kDora } kind = Kind::kFull;
  std::string more = {};  // of config.json

  std::string text() const {
    const char* kinds[] = {"", " with LoRA", " with DoRA"};
    return family + kinds[static_cast<int>(kind)];
  }
};

// Sizes of which none is a multiple of 4 where it need not be, and fewer key heads than ranks.
inline ModelConfig layout_config(const Trained& trained) {
  return parse_model_config(
      R"({"vocab_size": 37, "hidden_size": 16, "intermediate_size": 22, "num_attention_heads": 4,
          "num_key_value_heads": 2, "num_hidden_layers": 2, "head_dim": 4,
          "initializer_range": 0.1, "model_type": ")" +
          trained.family + "\"" + trained.more + "}",
      trained.family);
}

struct TrainedParts {
  std::unique_ptr<Model> model;
  std::optional<Lora> lora;

  std::vector<Parameter*> parameters() { return lora ? lora->parameters() : model->parameters(); }
};

inline TrainedParts make_parts(const Trained& trained, const Layout& layout, Mesh& mesh) {
  TrainedParts parts;
  parts.model = make_model(layout_config(trained), at::kFloat, mesh.device(),
                           TensorParallel(mesh.tp(), layout.sequence));
  initialize(*parts.model, 3);
  parts.model->set_checkpointing(layout.checkpointing);
  if (trained.kind == Trained::Kind::kFull) return parts;
  const bool dora = trained.kind == Trained::Kind::kDora;
  parts.lora.emplace(
      *parts.model, LoraConfig{.lora_r = 3, .lora_alpha = 6, .lora_dropout = 0.2, .use_dora = dora},
      5);
  // B begins as zero, which would hide half of what can go wrong.
  const at::NoGradGuard no_grad;
  for (LinearLayer* layer : parts.model->linear_layers()) {
    Parameter& b = layer->adapter->b;
    const at::Tensor whole = at::arange(c10::multiply_integers(b.whole_shape()), at::kFloat);
    b.value.copy_(part_of(((whole * 7) % 11 - 5).div(100).view(b.whole_shape()), b.cut));
  }
  return parts;
}

struct LayoutOutcome {
  std::vector<double> losses, norms;
  std::map<std::string, at::Tensor> weights;  // on rank 0 of the world
};

constexpr int64_t kLayoutRows = 16;  // of a step

struct LayoutRun {
  TrainedParts parts;
  std::unique_ptr<Sharding> sharding;
  std::unique_ptr<Optimizer> optimizer;
  TinyData data;
  Metrics metrics{""};
  std::unique_ptr<Trainer> trainer;

  LayoutRun(const Trained& trained, const Layout& layout, Mesh& mesh, Trainer::Options options = {})
      : parts(make_parts(trained, layout, mesh)) {
    sharding = shard_model(layout.zero, *parts.model, parts.parameters(), mesh, kBucketAlign);
    optimizer = make_optimizer({.weight_decay = 0.1, .adam_epsilon = 1e-6}, *sharding);
    data = {.rows_per_epoch = 3 * kLayoutRows,
            .rows_per_micro_batch = kLayoutRows / layout.dp / layout.accumulation,
            .micro_batches = layout.accumulation,
            .rank = mesh.dp().rank(),
            .size = mesh.dp().size()};
    if (options.train.max_steps == 0) options.train.max_steps = 12;
    options.learning_rate = 2e-3;
    options.max_grad_norm = 0.5;
    options.schedule.lr_scheduler_type = "constant";
    options.seed = 9;
    options.neftune_noise_alpha = 1;
    trainer = std::make_unique<Trainer>(Trainer::Parts{.mesh = mesh,
                                                       .model = *parts.model,
                                                       .objective = cross_entropy,
                                                       .sharding = *sharding,
                                                       .optimizer = *optimizer,
                                                       .batches = tiny_batches(data),
                                                       .metrics = metrics},
                                        options);
  }
};

// Ranks that hold the same numbers hold the same bits.
inline void expect_equal_replicas(LayoutRun& run, Mesh& mesh) {
  const auto same = [](at::Tensor values, Group& group) {
    at::Tensor most = values.clone(), least = values.clone();
    group.all_reduce(most, Reduce::kMax);
    group.all_reduce(least, Reduce::kMin);
    return at::equal(most, least);
  };
  std::vector<at::Tensor> all, copies;
  for (Parameter* parameter : run.parts.parameters()) {
    all.push_back(parameter->value.detach().flatten());
    if (parameter->cut.is_whole()) copies.push_back(all.back());
  }
  EXPECT_TRUE(same(at::cat(all), mesh.dp())) << "over dp";
  EXPECT_TRUE(copies.empty() || same(at::cat(copies), mesh.tp())) << "over tp";
}

inline std::map<std::string, at::Tensor> whole_weights(LayoutRun& run, Mesh& mesh) {
  std::map<std::string, at::Tensor> weights;
  const std::vector<Parameter*> parameters = run.parts.parameters();
  with_whole_weights(*run.parts.model, parameters, *run.sharding, mesh,
                     [&](const WeightSource& source) {
                       for (const Parameter* parameter : parameters)
                         weights[parameter->name] = source(parameter->name).clone();
                     });
  return weights;
}

inline LayoutOutcome train_under(const Trained& trained, const Layout& layout, Mesh& mesh,
                                 int steps = 12) {
  LayoutRun run(trained, layout, mesh);
  LayoutOutcome outcome;
  for (int step = 0; step < steps; ++step) {
    const StepStats stats = run.trainer->step();
    EXPECT_TRUE(stats.applied);
    outcome.losses.push_back(stats.loss);
    outcome.norms.push_back(stats.grad_norm);
    if (layout.zero < 3) expect_equal_replicas(run, mesh);
  }
  outcome.weights = whole_weights(run, mesh);
  return outcome;
}

inline void expect_close(const LayoutOutcome& got, const LayoutOutcome& expected) {
  ASSERT_EQ(got.losses.size(), expected.losses.size());
  for (size_t i = 0; i < got.losses.size(); ++i) {
    EXPECT_NEAR(got.losses[i] / expected.losses[i], 1, 1e-5) << "loss of step " << i;
    EXPECT_NEAR(got.norms[i] / expected.norms[i], 1, 1e-5) << "norm of step " << i;
  }
  ASSERT_EQ(got.weights.size(), expected.weights.size());
  for (const auto& [name, weight] : expected.weights) {
    EXPECT_LT((got.weights.at(name) - weight).abs().max().item<double>(), 1e-5) << name;
  }
}

inline void expect_same_bits(const LayoutOutcome& a, const LayoutOutcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.norms, b.norms);
  for (const auto& [name, weight] : a.weights)
    EXPECT_TRUE(at::equal(weight, b.weights.at(name))) << name;
}

// Ranks as threads of this process, each with one thread of work.
inline void on_layout(const Layout& layout, const std::function<void(Mesh&)>& body) {
  run_world({.backend = "local", .ranks = layout.ranks(), .threads_per_rank = 1},
            [&](std::unique_ptr<Group> world) {
              Mesh mesh(std::move(world), layout.shape());
              body(mesh);
            });
}

inline LayoutOutcome outcome_of(const Trained& trained, const Layout& layout, int steps = 12) {
  LayoutOutcome result;
  on_layout(layout, [&](Mesh& mesh) {
    LayoutOutcome outcome = train_under(trained, layout, mesh, steps);
    if (mesh.world().rank() == 0) result = std::move(outcome);
  });
  return result;
}

}  // namespace lathe

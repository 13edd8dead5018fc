#include <gtest/gtest.h>

#include "parallel/local_group.h"
#include "parallel/sharding.h"
#include "tests/tiny.h"
#include "tests/trainer/parity.h"
#include "trainer/freeze.h"
#include "trainer/lora.h"

// Activations made again, options of the loss, noise and freezing: what changes a step without
// changing the model.
namespace lathe {
namespace {

Batch some_batch() {
  return batch_of({{{1, 5, 7, 3, 9, 30}, {-100, 5, 7, 3, 9, 30}}, {{2, 4, 6}, {-100, 4, 6}}});
}

void give_gradients(const std::vector<Parameter*>& parameters) {
  for (Parameter* p : parameters) {
    if (p->trained) p->grad = at::zeros(p->value.sizes(), at::kFloat);
  }
}

struct Result {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;
};

Result run(Model& model, const std::vector<Parameter*>& parameters, Checkpointing mode,
           const Objective& objective = cross_entropy) {
  give_gradients(parameters);
  model.set_checkpointing(mode);
  const at::Tensor loss = objective(model, some_batch()).sum;
  loss.backward();
  Result result{loss.detach(), {}};
  for (const Parameter* p : parameters) {
    if (p->trained) result.gradients.push_back(p->grad.clone());
  }
  return result;
}

void expect_equal_modes(Model& model, const std::vector<Parameter*>& parameters) {
  const Result plain = run(model, parameters, Checkpointing::kOff);
  for (const Checkpointing mode : {Checkpointing::kBlock, Checkpointing::kSelective}) {
    const Result again = run(model, parameters, mode);
    EXPECT_TRUE(at::equal(again.loss, plain.loss));
    ASSERT_EQ(again.gradients.size(), plain.gradients.size());
    for (size_t i = 0; i < plain.gradients.size(); ++i)
      EXPECT_TRUE(at::equal(again.gradients[i], plain.gradients[i])) << i;
  }
}

TEST(Checkpointing, GivesTheSameBits) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto model = tiny_model(type);
    expect_equal_modes(*model, model->parameters());
  }
}

TEST(Checkpointing, GivesTheSameBitsForEveryFamilysBlocks) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int families = 0;
  for (const char* family : {"qwen3", "phi3", "gemma2", "gemma3_text", "gpt2"}) {
    SCOPED_TRACE(family);
    const auto model = load_fixture(folder_of(family), at::kFloat);
    expect_equal_modes(*model, model->parameters());
    ++families;
  }
  EXPECT_EQ(families, 5);
}

TEST(Checkpointing, MakesTheSameDropoutAgain) {
  const auto model = tiny_model();
  Lora lora(*model, {.lora_r = 2, .lora_dropout = 0.5}, 1);
  model->set_noise(StepNoise{.seed = 1, .step = 2, .neftune_alpha = 5});
  expect_equal_modes(*model, lora.parameters());
}

// The loss by plain operations on whole logits.
at::Tensor plain_loss(Model& model, const LossConfig& config) {
  const Batch batch = some_batch();
  const at::Tensor hidden = model.hidden(batch);
  const at::Tensor head = model.parameters().back()->value.detach().to(at::kFloat);
  const at::Tensor logits = at::mm(hidden, head.t());
  const at::Tensor logp = at::log_softmax(logits, 1), lse = logits.logsumexp(1);
  at::Tensor total = at::zeros({});
  for (int64_t t = 0; t < batch.num_tokens(); ++t) {
    const int64_t target = batch.targets[t].item<int64_t>();
    if (target == kIgnore) continue;
    at::Tensor loss = -logp[t][target];
    if (config.loss_type == "dft") loss = loss * logp[t][target].detach().exp();
    const double s = config.label_smoothing_factor;
    total = total + (1 - s) * loss - s * logp[t].mean() + config.z_loss * lse[t].square();
  }
  return total;
}

TEST(TokenLoss, IsItsFormula) {
  const std::vector<LossConfig> configs = {
      {},
      {.loss_type = "dft"},
      {.label_smoothing_factor = 0.1},
      {.z_loss = 1e-2},
      {.loss_type = "dft", .label_smoothing_factor = 0.2, .z_loss = 1e-3}};
  for (size_t i = 0; i < configs.size(); ++i) {
    SCOPED_TRACE(i);
    const auto model = tiny_model(), plain = tiny_model();
    const Result got =
        run(*model, model->parameters(), Checkpointing::kOff, token_loss(configs[i]));
    give_gradients(plain->parameters());
    const at::Tensor expected = plain_loss(*plain, configs[i]);
    expected.backward();
    EXPECT_NEAR(got.loss.item<double>(), expected.item<double>(), 1e-4);
    // All but the head's, which the plain form holds constant.
    for (size_t p = 0; p + 1 < got.gradients.size(); ++p)
      EXPECT_LT(difference(got.gradients[p], plain->parameters()[p]->grad), 1e-4) << p;
  }
}

TEST(Neftune, NoiseIsBoundedBelongsToDocumentsAndEndsWithTheStep) {
  const auto model = tiny_model();
  const at::NoGradGuard no_grad;
  const auto hidden = [&](const std::vector<Document>& documents) {
    return model->hidden(batch_of(documents));
  };
  const Document first{{1, 5, 7, 3}, {}}, second{{2, 4, 6}, {}};
  const at::Tensor clean = hidden({first, second});
  model->set_noise(StepNoise{.seed = 1, .step = 0, .neftune_alpha = 5});
  const at::Tensor noisy = hidden({first, second});
  EXPECT_GT(worst(noisy, clean), 1e-3);
  EXPECT_LT(worst(hidden({second, first}).slice(0, 3), noisy.slice(0, 0, 4)), 1e-6);
  model->set_noise(std::nullopt);
  EXPECT_TRUE(at::equal(hidden({first, second}), clean));
}

std::vector<std::string> trained_names(Model& model) {
  std::vector<std::string> names;
  for (const Parameter* p : model.parameters()) {
    if (p->trained) names.push_back(p->name);
  }
  return names;
}

TEST(Freeze, TrainsWhatThePatternsSay) {
  const auto freeze = [](const FreezeConfig& config) {
    const auto model = tiny_model();
    freeze_parameters(*model, config);
    return trained_names(*model);
  };
  const size_t all = tiny_model()->parameters().size();
  EXPECT_EQ(freeze({}).size(), all);
  EXPECT_EQ(freeze({.freeze = {"model.embed_tokens", "lm_head"}}).size(), all - 2);
  EXPECT_EQ(freeze({.unfrozen_parameters = {"lm_head", R"(.*\.norm\.)"}}),
            (std::vector<std::string>{"model.norm.weight", "lm_head.weight"}));
  EXPECT_EQ(freeze({.trainable_layers = 1}).size(), all - 3);
  EXPECT_EQ(freeze({.trainable_layers = -1}).size(), all - 3);
  EXPECT_THROW(freeze({.freeze = {"lm_haed"}}), std::invalid_argument);
  EXPECT_THROW(freeze({.freeze = {"("}}), std::invalid_argument);
  EXPECT_THROW(freeze({.freeze = {"."}}), std::invalid_argument);
  EXPECT_THROW(freeze({.trainable_layers = 2}), std::invalid_argument);
}

TEST(Freeze, FrozenWeightsHaveNoGradientNoSliceAndDoNotChangeTheOthersGradients) {
  const auto model = tiny_model(), whole = tiny_model();
  freeze_parameters(*model, {.unfrozen_parameters = {R"(model\.layers\.0\.mlp)"}});
  Mesh mesh(solo_group(), {});
  const auto sharding = make_sharding(1, model->parameters(), mesh);
  EXPECT_EQ(sharding->slices().size(), 3u);
  cross_entropy(*model, some_batch()).sum.backward();
  run(*whole, whole->parameters(), Checkpointing::kOff);
  for (size_t i = 0; i < whole->parameters().size(); ++i) {
    const Parameter *p = model->parameters()[i], *w = whole->parameters()[i];
    EXPECT_EQ(p->grad.defined(), p->trained) << p->name;
    if (!p->trained) continue;
    EXPECT_TRUE(at::equal(p->grad, w->grad)) << p->name;
  }
}

}  // namespace
}  // namespace lathe

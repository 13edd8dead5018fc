#include "trainer/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "tests/trainer/parity.h"
#include "trainer/hf_folder.h"
#include "trainer/kernels/noise.h"
#include "trainer/models/linear_layer.h"
#include "trainer/trainer.h"

namespace lathe {
namespace {

using testing::HasSubstr;

const std::string kPrefix = "base_model.model.";

void give_gradients(Lora& lora) {
  for (Parameter* p : lora.parameters()) {
    if (p->trained) p->grad = at::zeros(p->value.sizes(), at::kFloat);
  }
}

at::Tensor logits_of(Model& model, const Batch& batch) {
  const at::NoGradGuard no_grad;
  return model.logits(model.hidden(batch));
}

struct Case {
  std::string family, variant;
  double tolerance = 1e-4;
};

std::vector<Case> fixtures() {
  std::vector<Case> all;
  for (const char* family : {"llama", "qwen2"}) {
    for (const char* variant : {"lora", "rslora", "dora", "modules_to_save"}) {
      const std::string name = std::string("fixtures/lora/") + family + "/" + variant;
      if (!have_shared(name)) continue;
      all.push_back({family, variant, variant == std::string("rslora") ? 2e-4 : 1e-4});
    }
  }
  return all;
}

void expect_parity(const Case& c) {
  SCOPED_TRACE(c.family + "/" + c.variant);
  const std::string folder = shared_path("fixtures/lora/" + c.family + "/" + c.variant);
  const auto expected = read_tensors(folder + "/expected.safetensors");
  const std::vector<Document> documents = documents_of(expected);
  const Batch batch = batch_of(documents);
  const auto wanted = [&](const char* name) {
    return without_padding(expected.at(name), documents);
  };

  const auto model = load_model(folder_of(c.family), at::kFloat, at::kCPU);
  EXPECT_LT(worst(logits_of(*model, batch), wanted("base_logits")), 1e-4);
  Lora lora = Lora::read(*model, folder, /*trained=*/true);
  EXPECT_LT(worst(logits_of(*model, batch), wanted("logits")), c.tolerance);

  give_gradients(lora);
  const LossSum loss = cross_entropy(*model, batch);
  (loss.sum / static_cast<double>(loss.count)).backward();
  EXPECT_NEAR(loss.sum.item<double>() / static_cast<double>(loss.count),
              expected.at("loss").item<double>(), 1e-5);
  int gradients = 0;
  for (const Parameter* p : lora.parameters()) {
    if (!p->trained) {
      EXPECT_FALSE(p->grad.defined()) << p->name;
      continue;
    }
    EXPECT_LT(difference(p->grad, expected.at("grad." + kPrefix + p->name)), 1e-4) << p->name;
    ++gradients;
  }
  EXPECT_EQ(gradients, std::ranges::count_if(expected, [](const auto& each) {
              return each.first.starts_with("grad.");
            }));

  lora.merge();
  EXPECT_LT(worst(logits_of(*model, batch), wanted("merged_logits")), c.tolerance);
  const auto merged = read_tensors(folder + "/merged_changed_weights.safetensors");
  int compared = 0;
  for (const Parameter* p : model->parameters()) {
    if (merged.count(p->name) == 0) continue;
    EXPECT_LT(worst(p->value, merged.at(p->name)), 1e-6) << p->name;
    ++compared;
  }
  EXPECT_EQ(compared, static_cast<int>(merged.size()));
}

TEST(Lora, EqualsThePeftFixtures) {
  if (!have_shared("fixtures/lora")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::vector<Case> all = fixtures();
  ASSERT_EQ(all.size(), 7u);
  for (const Case& c : all) expect_parity(c);
}

TEST(Lora, WritesTheFolderThatItRead) {
  if (!have_shared("fixtures/lora")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int files = 0;
  for (const Case& c : fixtures()) {
    SCOPED_TRACE(c.family + "/" + c.variant);
    const std::string folder = shared_path("fixtures/lora/" + c.family + "/" + c.variant);
    const auto model = load_model(folder_of(c.family), at::kFloat, at::kCPU);
    const TempFolder out;
    Lora::read(*model, folder).write(out.path(), "models/" + c.family);
    EXPECT_EQ(read_file(out.path() + "/adapter_model.safetensors"),
              read_file(folder + "/adapter_model.safetensors"));
    const PeftConfig ours = read_peft_config(out.path()), theirs = read_peft_config(folder);
    EXPECT_EQ(dump_peft_config(ours, false), dump_peft_config(theirs, false));
    ++files;
  }
  EXPECT_EQ(files, 7);
}

Batch tiny_batch() {
  return batch_of({{{1, 5, 7, 3, 9, 30}, {-100, 5, 7, 3, 9, 30}}, {{2, 4, 6}, {-100, 4, 6}}});
}

// Moves every trained tensor away from where it began.
void disturb(Lora& lora) {
  const at::NoGradGuard no_grad;
  for (Parameter* p : lora.parameters()) {
    if (!p->trained) continue;
    p->value.add_(at::arange(p->value.numel(), at::kFloat).sin().view(p->value.sizes()) * 0.1);
  }
}

TEST(Lora, BeginsAsTheModelItself) {
  for (const char* init : {"true", "gaussian", "pissa", "pissa_niter_4"}) {
    for (const bool dora : {false, true}) {
      if (dora && std::string(init).starts_with("pissa")) continue;
      SCOPED_TRACE(init);
      const auto model = tiny_model();
      const at::Tensor before = logits_of(*model, tiny_batch());
      Lora lora(*model, {.lora_r = 2, .use_dora = dora, .init_lora_weights = init}, 1);
      EXPECT_LT(worst(logits_of(*model, tiny_batch()), before), 1e-5);
      disturb(lora);
      EXPECT_GT(worst(logits_of(*model, tiny_batch()), before), 1e-3);
      lora.set_enabled(false);
      EXPECT_LT(worst(logits_of(*model, tiny_batch()), before), 1e-5);
      lora.set_enabled(true);
      EXPECT_GT(worst(logits_of(*model, tiny_batch()), before), 1e-3);
    }
  }
}

TEST(Lora, PissaTakesTheBestApproximationOfTheWeight) {
  const auto plain = tiny_model(), exact = tiny_model(), iterated = tiny_model();
  Lora a(*exact, {.lora_r = 3, .init_lora_weights = "pissa"}, 1);
  Lora b(*iterated, {.lora_r = 3, .init_lora_weights = "pissa_niter_20"}, 1);
  for (size_t i = 0; i < plain->linear_layers().size(); ++i) {
    const at::Tensor w = plain->linear_layers()[i]->weight.value.detach(),
                     rest = exact->linear_layers()[i]->weight.value.detach();
    const at::Tensor singular = at::linalg_svdvals(w);
    const double left = singular.slice(0, 3).square().sum().sqrt().item<double>();
    EXPECT_NEAR(at::linalg_vector_norm(rest).item<double>(), left, 1e-5);
    EXPECT_LT(worst(iterated->linear_layers()[i]->weight.value, rest), 1e-4);
  }
}

TEST(Lora, ReadsBackWhatItWroteOnTheUntouchedModel) {
  const std::vector<LoraConfig> configs = {
      {.lora_r = 2, .lora_target_modules = {"q_proj", "down_proj"}},
      {.lora_r = 2, .lora_target_modules = {R"(.*\.mlp\.(up|gate)_proj)"}},
      {.lora_r = 2, .use_rslora = true, .init_lora_weights = "pissa"},
      {.lora_r = 2, .use_dora = true, .modules_to_save = {"lm_head", "norm"}},
      {.lora_r = 2,
       .rank_pattern = {{"q_proj", 3}, {"mlp.up_proj", 1}},
       .alpha_pattern = {{R"(layers\.0\..*k_proj)", 32}},
       .trainable_token_indices = {"3", "30"}},
      {.lora_r = 2, .init_lora_weights = "pissa", .rank_pattern = {{"o_proj", 4}}},
  };
  for (size_t i = 0; i < configs.size(); ++i) {
    SCOPED_TRACE(i);
    const auto model = tiny_model(), fresh = tiny_model();
    Lora lora(*model, configs[i], 1);
    disturb(lora);
    const TempFolder out;
    lora.write(out.path(), "somewhere");
    EXPECT_EQ(read_peft_config(out.path()).base_model_name_or_path, "somewhere");
    Lora read = Lora::read(*fresh, out.path());
    const at::Tensor expected = logits_of(*model, tiny_batch());
    EXPECT_LT(worst(logits_of(*fresh, tiny_batch()), expected), 1e-5);
    read.merge();
    EXPECT_LT(worst(logits_of(*fresh, tiny_batch()), expected), 1e-5);
  }
}

TEST(Lora, TrainsOnlyTheRowsOfTheChosenTokens) {
  const auto model = tiny_model(), whole = tiny_model();
  Lora lora(*model,
            {.lora_r = 2, .lora_target_modules = {"q_proj"}, .trainable_token_indices = {"7", "2"}},
            1);
  Lora reference(
      *whole, {.lora_r = 2, .lora_target_modules = {"q_proj"}, .modules_to_save = {"embed_tokens"}},
      1);
  give_gradients(lora);
  give_gradients(reference);
  cross_entropy(*model, tiny_batch()).sum.backward();
  cross_entropy(*whole, tiny_batch()).sum.backward();
  const Parameter& table = *model->parameters().front();
  ASSERT_NE(table.rows, nullptr);
  EXPECT_FALSE(table.grad.defined());
  const at::Tensor ids = at::tensor({7, 2}, at::kLong);
  EXPECT_TRUE(at::equal(table.rows->grad, whole->parameters().front()->grad.index_select(0, ids)));
  const at::Tensor before = logits_of(*model, tiny_batch());
  at::NoGradGuard no_grad;
  table.rows->value[0].add_(0.5);
  EXPECT_GT(worst(logits_of(*model, tiny_batch()), before), 1e-4);
}

TEST(Lora, DropoutBelongsToTheTokenNotToItsPlace) {
  const auto model = tiny_model();
  Lora lora(*model, {.lora_r = 2, .lora_dropout = 0.5}, 1);
  disturb(lora);
  const Document first{{1, 5, 7, 3, 9, 30}, {}}, second{{2, 4, 6}, {}};
  const auto hidden = [&](const std::vector<Document>& documents, std::optional<StepNoise> noise) {
    const at::NoGradGuard no_grad;
    model->set_noise(noise);
    return model->hidden(batch_of(documents));
  };
  const StepNoise noise{.seed = 3, .step = 4};
  const at::Tensor together = hidden({first, second}, noise);
  EXPECT_LT(worst(hidden({second, first}, noise).slice(0, 3), together.slice(0, 0, 6)), 1e-6);
  EXPECT_LT(worst(hidden({second}, noise), together.slice(0, 6)), 1e-6);
  EXPECT_GT(worst(hidden({first, second}, StepNoise{.seed = 3, .step = 5}), together), 1e-3);
  EXPECT_GT(worst(hidden({first, second}, StepNoise{.seed = 2, .step = 4}), together), 1e-3);
  EXPECT_GT(worst(hidden({first, second}, std::nullopt), together), 1e-3);
}

TEST(Lora, DropoutKeepsTheMeanAndIsLinear) {
  const at::Tensor x = at::ones({2000, 30}), keys = at::arange(2000, at::kLong);
  const at::Tensor y = drop(x, keys, 5, 0.3);
  EXPECT_NEAR(y.mean().item<double>(), 1, 0.02);
  EXPECT_NEAR(y.eq(0).to(at::kFloat).mean().item<double>(), 0.3, 0.01);
  EXPECT_TRUE(at::equal(drop(x * 2, keys, 5, 0.3), y * 2));
  EXPECT_FALSE(at::equal(drop(x, keys, 6, 0.3), y));
  EXPECT_TRUE(at::equal(drop(x.to(at::kBFloat16), keys, 5, 0.3).eq(0), y.eq(0)));
}

// Losses of eight steps of four rows, with dropout and noise.
std::vector<double> losses_of(int ranks, int64_t rows, int64_t micro_batches, int zero) {
  std::vector<double> losses;
  on_ranks(ranks, [&](Mesh& mesh) {
    const auto model = tiny_model();
    Lora lora(*model, {.lora_r = 2, .lora_dropout = 0.3, .use_rslora = true}, 1);
    const auto sharding = make_sharding(zero, lora.parameters(), mesh);
    const auto optimizer = make_optimizer({}, *sharding);
    Metrics metrics("");
    TinyData data{.rows_per_micro_batch = rows,
                  .micro_batches = micro_batches,
                  .rank = mesh.dp().rank(),
                  .size = mesh.dp().size()};
    Trainer trainer({.mesh = mesh,
                     .model = *model,
                     .objective = cross_entropy,
                     .sharding = *sharding,
                     .optimizer = *optimizer,
                     .batches = tiny_batches(data),
                     .metrics = metrics},
                    {.schedule = {.lr_scheduler_type = "constant"},
                     .learning_rate = 1e-2,
                     .seed = 5,
                     .neftune_noise_alpha = 5});
    for (int i = 0; i < 8; ++i) {
      const StepStats stats = trainer.step();
      if (mesh.dp().rank() == 0) losses.push_back(stats.loss);
    }
  });
  return losses;
}

TEST(Lora, LossesWithDropoutDoNotDependOnHowAStepIsSplit) {
  const std::vector<double> whole = losses_of(1, 4, 1, 0);
  ASSERT_EQ(whole.size(), 8u);
  for (const int zero : {0, 1}) {
    const std::vector<std::array<int, 3>> splits{
        {1, 1, 4}, {1, 2, 2}, {2, 2, 1}, {2, 1, 2}, {4, 1, 1}};
    for (const auto& [ranks, rows, micro_batches] : splits) {
      const std::vector<double> split = losses_of(ranks, rows, micro_batches, zero);
      for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(split[i] / whole[i], 1, 1e-6) << i;
    }
  }
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(Lora, RefusesWhatItCanNotDoByName) {
  const auto attach = [](const LoraConfig& config) {
    return refusal([&] { Lora(*tiny_model(), config, 1); });
  };
  EXPECT_THAT(attach({.lora_target_modules = {"q_prj"}}),
              AllOf(HasSubstr("q_prj"), HasSubstr("down_proj, gate_proj, k_proj")));
  EXPECT_THAT(attach({.lora_target_modules = {"("}}), HasSubstr("no regular expression"));
  EXPECT_THAT(attach({.init_lora_weights = "eva"}), HasSubstr("eva"));
  EXPECT_THAT(attach({.lora_r = 500, .init_lora_weights = "pissa"}), HasSubstr("rank 500"));
  EXPECT_THAT(attach({.modules_to_save = {"head"}}), HasSubstr("model.embed_tokens"));
  EXPECT_THAT(attach({.modules_to_save = {"q_proj"}}), HasSubstr("keep one"));
  EXPECT_THAT(attach({.trainable_token_indices = {"37"}}), HasSubstr("below 37"));
  EXPECT_THAT(attach({.trainable_token_indices = {"1", "1"}}), HasSubstr("different ids"));
}

TEST(Lora, ListsTensorsThatDoNotFit) {
  const auto model = tiny_model();
  Lora lora(*model, {.lora_r = 2, .lora_target_modules = {"q_proj", "v_proj"}}, 1);
  const TempFolder out;
  lora.write(out.path(), "base");
  const std::string config = read_file(out.path() + "/adapter_config.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = config;
    text.replace(text.find(from), from.size(), to);
    std::ofstream(out.path() + "/adapter_config.json") << text;
    return refusal([&] { Lora::read(*tiny_model(), out.path()); });
  };
  EXPECT_THAT(with("\"q_proj\"", "\"k_proj\""),
              AllOf(HasSubstr("missing: base_model.model.model.layers.0.self_attn.k_proj.lora_A"),
                    HasSubstr("extra: base_model.model.model.layers.0.self_attn.q_proj.lora_A")));
  EXPECT_THAT(with("\"r\": 2", "\"r\": 3"), HasSubstr("where [3, 16] is expected"));
  EXPECT_THAT(with("\"LORA\"", "\"IA3\""), HasSubstr("peft_type"));
  EXPECT_THAT(with("\"bias\": \"none\"", "\"bias\": \"all\""), HasSubstr("bias"));
  EXPECT_THAT(with("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": -1}"),
              HasSubstr("rank_pattern"));
  EXPECT_THAT(with("\"lora_dropout\": 0.0", "\"lora_dropout\": 1.5"), HasSubstr("lora_dropout"));
  std::filesystem::remove(out.path() + "/adapter_config.json");
  EXPECT_THAT(refusal([&] { Lora::read(*tiny_model(), out.path()); }),
              HasSubstr("no adapter_config.json"));
}

}  // namespace
}  // namespace lathe

#include "recipes/reward.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/recipes/run_recipe.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/objective/reward.h"
#include "trainer/safetensors.h"

namespace lathe {
namespace {

constexpr const char* kFixtures = "fixtures/trl";

TEST(Reward, LossEqualsTheReferenceInValueAndGradient) {
  if (!have_shared("fixtures/losses")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const SafetensorsFile file(shared_path("fixtures/losses/reward_model.safetensors"));
  std::ifstream in(shared_path("fixtures/losses/reward_model.json"));
  const auto cases = nlohmann::json::parse(in).at("cases");
  int compared = 0;
  for (const auto& [name, expected] : cases.items()) {
    at::Tensor chosen = file.tensor("in.rewards_chosen").to(at::kDouble).requires_grad_(),
               rejected = file.tensor("in.rewards_rejected").to(at::kDouble).requires_grad_();
    const auto& params = expected["params"];
    const at::Tensor margin = params["margin"].get<bool>()
                                  ? file.tensor("in.margin").to(at::kDouble)
                                  : at::zeros({6}, at::kDouble);
    const auto& coefficient = params["center_rewards_coefficient"];
    const RewardConfig config{.center_rewards_coefficient =
                                  coefficient.is_null() ? 0 : coefficient.get<double>()};
    const at::Tensor mean = reward_losses(chosen, rejected, margin, config).mean();
    mean.backward();
    EXPECT_NEAR(mean.item<double>() / expected["loss"].get<double>(), 1, 1e-6) << name;
    for (const auto& [what, tensor] :
         {std::pair{".grad_chosen", chosen}, std::pair{".grad_rejected", rejected}})
      EXPECT_TRUE(at::allclose(tensor.grad(), file.tensor(name + what).to(at::kDouble), 1e-5, 1e-7))
          << name << what;
    ++compared;
  }
  EXPECT_EQ(compared, 4);
  const auto by_hand = [](double margin) {
    const auto one = [](double x) { return at::full({1}, x, at::kDouble); };
    return reward_losses(one(1.2), one(.7), one(margin), {}).item<double>();
  };
  EXPECT_NEAR(by_hand(0), .47407698, 1e-8);
  EXPECT_NEAR(by_hand(.3), .59813887, 1e-8);
}

// A step sees all of them.
std::string four_pairs(const std::string& folder) {
  const std::string path = folder + "/pairs.jsonl";
  std::ifstream in(shared_path("fixtures/trl/dpo/data.jsonl"));
  std::ofstream out(path);
  std::string line;
  for (int i = 0; i < 4 && std::getline(in, line); ++i) out << line << '\n';
  return path;
}

RunConfig config_of(const std::string& folder, const Layout& layout = {}) {
  RunConfig config;
  reward_defaults(config);
  config.recipe = "reward";
  config.output_dir = folder + "/run";
  config.model.model_name_or_path = shared_path("fixtures/trl/model");
  config.model.dtype = "fp32";
  config.data.train = {{.path = four_pairs(folder)}};
  config.data.cache_dir = folder + "/cache";
  config.optimizer.learning_rate = 1e-3;
  config.train.max_steps = 6;
  config.train.logging_steps = 1;
  config.train.save_steps = 0;
  config.train.per_device_train_batch_size = layout.rows;
  config.train.gradient_accumulation_steps = layout.micro_batches;
  config.reward.center_rewards_coefficient = 0.01;
  return config;
}

TEST(Reward, LearnsTheSameHoweverAStepIsSplit) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::vector<std::vector<nlohmann::json>> runs;
  for (const Layout& layout : {Layout{1, 4, 1}, Layout{1, 1, 4}, Layout{2, 1, 2}}) {
    const TempFolder folder;
    const RunConfig config = config_of(folder.path(), layout);
    run_recipe(config, layout.ranks);
    runs.push_back(metrics_of(config));
    ASSERT_EQ(runs.back().size(), 6U);
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_NEAR(runs.back()[i]["loss"].get<double>(), runs[0][i]["loss"].get<double>(), 1e-5);
      EXPECT_NEAR(runs.back()[i]["margin"].get<double>(), runs[0][i]["margin"].get<double>(), 1e-4);
    }
  }
  EXPECT_NEAR(runs[0][0]["loss"].get<double>(), 0.693147, 0.05);
  EXPECT_LT(runs[0][5]["loss"].get<double>(), runs[0][0]["loss"].get<double>());
}

TEST(Reward, TheFolderIsASequenceClassifierAndScoresAsTheModelDid) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const RunConfig config = config_of(folder.path());
  run_recipe(config, 1);
  const SafetensorsFile weights(config.output_dir + "/model.safetensors");
  EXPECT_TRUE(weights.contains("score.weight"));
  EXPECT_EQ(weights.tensor("score.weight").size(0), 1);
  EXPECT_FALSE(weights.contains("lm_head.weight"));
  const auto json = nlohmann::json::parse(read_file(config.output_dir + "/config.json"));
  EXPECT_THAT(json["architectures"][0].get<std::string>(),
              testing::HasSubstr("ForSequenceClassification"));
  EXPECT_EQ(json["id2label"].size(), 1U);
  EXPECT_FALSE(json["pad_token_id"].is_null());

  const auto scored = ScoredModel::load(config.output_dir, at::kFloat, at::kCPU, 9);
  EXPECT_TRUE(at::equal(scored->parameters().back()->value, weights.tensor("score.weight")));
  const std::vector<int64_t> a{5, 6, 7}, b{8, 9, 10, 11};
  const at::NoGradGuard no_grad;
  const at::Tensor both =
      scored->scores(make_batch({{a.data(), nullptr, 3}, {b.data(), nullptr, 4}}));
  const at::Tensor alone = scored->scores(make_batch({{b.data(), nullptr, 4}}));
  EXPECT_EQ(both.sizes(), at::IntArrayRef({2}));
  EXPECT_NEAR(both[1].item<double>(), alone[0].item<double>(), 1e-5);
  // Saved again, it is the same folder.
  save_model(*scored, folder / "again", "", at::kFloat);
  EXPECT_EQ(read_file(folder / "again/model.safetensors"),
            read_file(config.output_dir + "/model.safetensors"));
  // A language model is not to be had from it.
  EXPECT_THAT([&] { load_model(config.output_dir, at::kFloat, at::kCPU); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("score.weight")));
}

TEST(Reward, AdaptersTrainTheNewHeadBesides) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path());
  config.has_lora = true;
  config.train.max_steps = 2;
  run_recipe(config, 1);
  const SafetensorsFile adapter(config.output_dir + "/adapter_model.safetensors");
  EXPECT_TRUE(adapter.contains("base_model.model.score.weight"));
}

TEST(Reward, ResumesToTheSameBits) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig whole = config_of(folder.path()), stopped = whole;
  whole.train.max_steps = stopped.train.max_steps = 4;
  stopped.output_dir = folder / "stopped";
  run_recipe(whole, 1);
  run_recipe(stopped, 1, /*stopped=*/true);
  run_recipe(stopped, 1);
  EXPECT_EQ(read_file(whole.output_dir + "/model.safetensors"),
            read_file(stopped.output_dir + "/model.safetensors"));
}

TEST(Reward, SingleAnswersAreRefused) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path());
  config.data.train = {{.path = shared_path("fixtures/trl/kto/data.jsonl")}};
  EXPECT_THAT([&] { run_recipe(config, 1); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("pairs of a chosen and a rejected answer")));
}

TEST(RewardRecipe, EveryLayoutTrainsAlike) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  struct Cut {
    int dp = 1, tp = 1, zero = 1;
  };
  for (const bool lora : {false, true}) {
    const TempFolder folder;
    std::vector<nlohmann::json> whole;
    at::Tensor score;
    for (const Cut& cut :
         {Cut{1, 1, 1}, Cut{2, 1, 1}, Cut{1, 2, 1}, Cut{2, 1, 2}, Cut{2, 1, 3}, Cut{2, 2, 3}}) {
      const std::string name = fmt::format("dp {} tp {} zero {}", cut.dp, cut.tp, cut.zero);
      SCOPED_TRACE(name + (lora ? " lora" : ""));
      RunConfig config = config_of(folder.path(), {.rows = 4 / cut.dp, .micro_batches = 1});
      config.output_dir = folder / name;
      config.has_lora = lora;
      config.parallel.tp = cut.tp;
      config.parallel.zero = cut.zero;
      run_recipe(config, cut.dp * cut.tp);
      const auto steps = metrics_of(config);
      ASSERT_EQ(steps.size(), 6U);
      const SafetensorsFile saved(config.output_dir +
                                  (lora ? "/adapter_model.safetensors" : "/model.safetensors"));
      const at::Tensor head =
          saved.tensor(lora ? "base_model.model.score.weight" : "score.weight").clone();
      if (whole.empty()) {
        whole = steps;
        score = head;
      }
      for (size_t i = 0; i < steps.size(); ++i) {
        EXPECT_NEAR(steps[i]["loss"].get<double>(), whole[i]["loss"].get<double>(), 1e-5) << i;
        EXPECT_NEAR(steps[i]["grad_norm"].get<double>() / whole[i]["grad_norm"].get<double>(), 1,
                    1e-4);
      }
      EXPECT_LT((head - score).abs().max().item<double>(), 1e-5);
    }
  }
}

}  // namespace
}  // namespace lathe

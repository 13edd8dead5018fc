#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/shards/teacher_set.h"
#include "recipes/distill.h"
#include "tests/recipes/distill_run.h"
#include "tests/temp_folder.h"

// Distillation and capture under every way to cut models and data over ranks.
namespace lathe {
namespace {

// Three steps on one rank, and under every way to cut them over ranks.
void expect_layouts_alike(const std::function<void(RunConfig&)>& change,
                          const TempFolder& folder = {}) {
  struct Cut {
    int dp = 1, tp = 1, zero = 1;
  };
  std::vector<nlohmann::json> whole;
  for (const Cut& cut :
       {Cut{1, 1, 1}, Cut{2, 1, 1}, Cut{1, 2, 1}, Cut{2, 1, 2}, Cut{2, 1, 3}, Cut{2, 2, 3}}) {
    const std::string name = fmt::format("dp {} tp {} zero {}", cut.dp, cut.tp, cut.zero);
    SCOPED_TRACE(name);
    RunConfig config = config_of(folder.path(), {.rows = 4 / cut.dp, .micro_batches = 2});
    config.output_dir = folder / name;
    config.train.max_steps = 3;
    config.distill.max_new_tokens = 8;
    config.parallel.tp = cut.tp;
    config.parallel.zero = cut.zero;
    change(config);
    run_recipe(config, cut.dp * cut.tp);
    const auto steps = metrics_of(config);
    ASSERT_EQ(steps.size(), 3U);
    if (whole.empty()) whole = steps;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(steps[i]["loss"].get<double>(), whole[i]["loss"].get<double>(), 1e-5) << i;
      EXPECT_NEAR(steps[i]["divergence"].get<double>(), whole[i]["divergence"].get<double>(), 1e-5);
      EXPECT_NEAR(steps[i]["grad_norm"].get<double>() / whole[i]["grad_norm"].get<double>(), 1,
                  1e-3);
      EXPECT_EQ(steps[i]["num_tokens"], whole[i]["num_tokens"]) << i;
    }
  }
}

TEST(DistillLayouts, OfATeacherThatIsAsked) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  std::ifstream all(fixture("gkd/data.jsonl"));
  std::ofstream few(folder / "few.jsonl");
  std::string line;
  for (int i = 0; i < 3 && std::getline(all, line); ++i) few << line << '\n';
  few.close();
  expect_layouts_alike(
      [&](RunConfig& config) {
        config.distill.ce_weight = 0.25;
        config.data.eval = {{.path = folder / "few.jsonl"}};
      },
      folder);
}

// With projections: the teacher is wider.
TEST(DistillLayouts, OfHiddenStatesAndAttention) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) {
    config.distill.hidden_weight = 2;
    config.distill.attention_weight = 3;
    config.distill.layer_map = {"0:0", "1:1", "2:2"};
    config.parallel.sequence_parallel = config.parallel.tp > 1;
  });
}

TEST(DistillLayouts, OfHiddenStatesAndBlocksThatAreMadeAgain) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) {
    config.has_lora = true;
    config.distill.hidden_weight = 2;
    config.distill.hidden_loss = "cosine";
    config.distill.attention_weight = 1;
    config.distill.attention_loss = "mse";
    config.train.gradient_checkpointing = config.parallel.zero == 3 ? "true" : "false";
  });
}

TEST(DistillLayouts, OfRowsThatWereKept) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  run_recipe(capture_config(folder.path(), 8), 1);
  expect_layouts_alike(
      [&](RunConfig& config) {
        config.distill.divergence = "forward_kl";
        config.distill.teacher_model_name_or_path.clear();
        config.distill.teacher_shards = {folder / "rows"};
      },
      folder);
}

TEST(DistillLayouts, OfTheStudentsOwnAnswers) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) { config.distill.lmbda = 1; });
}

TEST(DistillLayouts, OfTheTeachersAnswers) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) { config.distill.seq_kd = true; });
}

TEST(DistillLayouts, OfAdaptersThatAreOffInTheTeacher) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) {
    config.has_lora = true;
    config.distill.teacher_model_name_or_path = "self";
    config.distill.ce_weight = 0.5;
  });
}

TEST(DistillLayouts, OfMiniLlm) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) {
    config.distill.divergence = "minillm";
    config.distill.lmbda = 0.7;
    config.distill.sampling_temperature = 1;
  });
}

TEST(DistillLayouts, OfATeacherWithAnotherTokenizer) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  expect_layouts_alike([](RunConfig& config) {
    config.distill.teacher_model_name_or_path = shared_path("data/models/stories260K-hf");
    config.distill.cross_vocabulary = "aligned";
    config.distill.divergence = "forward_kl";
    config.distill.ce_weight = 0.5;
  });
}

TEST(DistillLayouts, OfCapture) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = capture_config(folder.path(), 8);
  run_recipe(config, 1);
  const auto files = shards_in(config.output_dir);
  const auto rows_of = [](const std::string& path) {
    const TeacherShard shard(path);
    const auto rows = static_cast<int64_t>(shard.offsets().back());
    std::vector<int64_t> ids(static_cast<size_t>(8 * rows));
    std::vector<float> logp(ids.size()), tail(static_cast<size_t>(rows));
    shard.read(0, rows, ids.data(), logp.data(), tail.data());
    return std::pair(ids, at::tensor(logp));
  };
  for (const auto& [dp, tp] : {std::pair{2, 1}, std::pair{1, 2}, std::pair{2, 2}}) {
    RunConfig cut = config;
    cut.output_dir = folder / fmt::format("dp {} tp {}", dp, tp);
    cut.parallel.tp = tp;
    cut.parallel.zero = 3;
    run_recipe(cut, dp * tp);
    const auto found = shards_in(cut.output_dir);
    ASSERT_EQ(found.size(), files.size());
    for (const auto& [name, bytes] : files) {
      if (tp == 1) { EXPECT_EQ(found.at(name), bytes) << name; }
      const auto [ids, logp] = rows_of(config.output_dir + "/" + name);
      const auto [cut_ids, cut_logp] = rows_of(cut.output_dir + "/" + name);
      EXPECT_EQ(cut_ids, ids);
      // Kept in float16.
      EXPECT_LT((cut_logp - logp).abs().max().item<double>(), 0.01);
    }
  }
}

}  // namespace
}  // namespace lathe

#include "recipes/dpo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "recipes/parts.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/models/shared_beginnings.h"
#include "trainer/objective/preference_losses.h"
#include "trainer/safetensors.h"

// The recipe from raw records to the final weights, against TRL's own trainers.
namespace lathe {
namespace {

constexpr const char* kFixtures = "fixtures/trl";

std::string fixture(const std::string& path) { return shared_path(std::string(kFixtures) + "/" + path); }

struct Layout {
  int ranks = 1;
  int64_t rows = 2, micro_batches = 2;
  bool precompute = true;
  int64_t tp = 1, zero = 1;
};

RunConfig config_of(const std::string& run, const std::string& folder, const Layout& layout) {
  RunConfig config;
  dpo_defaults(config);
  config.recipe = "dpo";
  config.output_dir = folder + "/run";
  config.model.model_name_or_path = fixture("model");
  config.model.dtype = "fp32";
  config.data.train = {{.path = fixture(run + "/data.jsonl")}};
  config.data.shuffle = false;
  config.data.cache_dir = folder + "/cache";
  config.optimizer.learning_rate = 1e-3;
  config.optimizer.weight_decay = 0;
  config.schedule.lr_scheduler_type = "linear";
  config.schedule.warmup_steps = 0;
  config.train.max_steps = 10;
  config.train.logging_steps = 1;
  config.train.save_steps = 0;
  config.train.per_device_train_batch_size = layout.rows;
  config.train.gradient_accumulation_steps = layout.micro_batches;
  config.dpo.loss_type = {run == "kto" ? "kto" : "sigmoid"};
  config.dpo.precompute_ref_log_probs = layout.precompute;
  config.parallel.tp = layout.tp;
  config.parallel.zero = layout.zero;
  return config;
}

void train(const RunConfig& config, int ranks, bool stopped = false) {
  std::filesystem::create_directories(config.output_dir);
  const std::atomic<bool> stop = stopped;
  WorldOptions options;
  options.backend = "local";
  options.ranks = ranks;
  options.threads_per_rank = 1;
  run_world(options, [&](std::unique_ptr<Group> world) {
    EXPECT_EQ(train_preferences({.config = config,
                                 .world = std::move(world),
                                 .fingerprint = "",
                                 .cache_dir = config.data.cache_dir,
                                 .stop_requested = stop}),
              stopped ? 75 : 0);
  });
}

std::vector<nlohmann::json> metrics_of(const RunConfig& config) {
  std::ifstream in(config.output_dir + "/metrics.jsonl");
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row.contains("loss")) rows.push_back(std::move(row));
  }
  return rows;
}

void expect_reference(const std::string& run, const Layout& layout, const std::vector<std::string>& names) {
  const TempFolder folder;
  const RunConfig config = config_of(run, folder.path(), layout);
  train(config, layout.ranks);
  std::ifstream in(fixture(run + "/expected.json"));
  const nlohmann::json expected = nlohmann::json::parse(in).at("steps");
  const auto found = metrics_of(config);
  ASSERT_EQ(expected.size(), 10U);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    EXPECT_NEAR(found[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 1e-5);
    EXPECT_NEAR(found[i]["grad_norm"].get<double>() / expected[i]["grad_norm"].get<double>(), 1, 1e-4);
    EXPECT_NEAR(found[i]["learning_rate"].get<double>(), expected[i]["learning_rate"].get<double>(), 1e-12);
    for (const std::string& name : names) {
      const double wanted = expected[i]["other"][name];
      EXPECT_NEAR(found[i][name].get<double>(), wanted, 2e-3 + 1e-5 * std::abs(wanted)) << name;
    }
  }
  const SafetensorsFile weights(config.output_dir + "/model.safetensors"), reference(fixture(run + "/weights_final.safetensors"));
  int compared = 0;
  for (const auto& [name, entry] : weights.entries()) {
    const at::Tensor gap = (weights.tensor(name).to(at::kFloat) - reference.tensor(name).to(at::kFloat)).abs().max();
    EXPECT_LT(gap.item<double>(), 5e-5) << name;
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

const std::vector<std::string> kPairNames{"rewards/chosen",     "rewards/rejected", "rewards/accuracies",
                                          "rewards/margins",    "logps/chosen",     "logps/rejected"};

TEST(Dpo, TrajectoryEqualsTrlHoweverAStepIsSplit) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const Layout& layout : {Layout{1, 2, 2}, Layout{1, 4, 1}, Layout{2, 1, 2}, Layout{4, 1, 1}, Layout{1, 2, 2, false},
                               Layout{2, 2, 2, true, 2}, Layout{4, 2, 1, false, 2}, Layout{4, 1, 1, true, 1, 3},
                               Layout{2, 1, 2, false, 1, 3}, Layout{4, 2, 1, true, 2, 3}}) {
    SCOPED_TRACE(testing::Message() << layout.ranks << " ranks, tp " << layout.tp << ", zero " << layout.zero << ", " << layout.micro_batches << " micro-batches of "
                                    << layout.rows << ", precomputed " << layout.precompute);
    expect_reference("dpo", layout, kPairNames);
  }
}

TEST(Dpo, KtoTrajectoryEqualsTrlHoweverAStepIsSplit) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const Layout& layout : {Layout{1, 4, 1}, Layout{1, 2, 2}, Layout{2, 2, 1}, Layout{2, 4, 1, false, 2},
                               Layout{4, 1, 1, false, 1, 3}}) {
    SCOPED_TRACE(testing::Message() << layout.ranks << " ranks, tp " << layout.tp << ", " << layout.micro_batches << " micro-batches of " << layout.rows);
    expect_reference("kto", layout, {"kl", "rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"});
  }
}

// The reference's padded rows [all chosen; all rejected] against the loader's documents.
TEST(Dpo, IdsAndMasksAreThoseOfTrl) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const RunConfig config = config_of("dpo", folder.path(), {});
  const Tokenizer tokenizer(fixture("model"));
  prepare(prepare_options(config, config.data.train[0]), tokenizer, folder.path() + "/data");
  Loader loader({std::make_shared<const Dataset>(folder.path() + "/data")}, {},
                {.shuffle = false, .rows_per_micro_batch = 2, .micro_batches = 2, .columns = {"chosen", "rejected"}, .label = ""});
  const SafetensorsFile file(fixture("dpo/batches.safetensors"));
  int documents = 0;
  int64_t shared = 0;
  for (int step = 0; step < 10; ++step) {
    const std::vector<Batch> batches = loader.next();
    for (int micro = 0; micro < 2; ++micro) {
      const std::string name = "step" + std::to_string(step) + ".micro" + std::to_string(micro) + ".";
      const Batch& batch = batches[micro];
      ASSERT_EQ(batch.cu_seqlens.size(), 5U);
      EXPECT_EQ(batch.num_targets, 2);
      const Batch whole = whole_documents(batch);
      shared += whole.num_tokens() - batch.num_tokens();
      for (int64_t d = 0; d < 4; ++d, ++documents) {
        const int64_t row = d % 2 * 2 + d / 2;
        const at::Tensor real = file.tensor(name + "attention_mask")[row] > 0;
        const at::Tensor ids = file.tensor(name + "input_ids")[row].masked_select(real);
        const at::Tensor trained = file.tensor(name + "completion_mask")[row].masked_select(real) > 0;
        ASSERT_TRUE(at::equal(whole.tokens.slice(0, whole.cu_seqlens[d], whole.cu_seqlens[d + 1]), ids)) << name << d;
        const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1], first = batch.shared_of(d);
        ASSERT_EQ(trained.slice(0, 1, first + 1).sum().item<int64_t>(), 0) << name << d;
        ASSERT_TRUE(at::equal(batch.targets.slice(0, begin, end - 1) != kIgnore, trained.slice(0, first + 1))) << name << d;
      }
    }
  }
  EXPECT_EQ(documents, 80);
  EXPECT_GT(shared, 400);  // tokens of prompts
}

TEST(Dpo, AStoppedRunGoesOnAsIfItHadNot) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const std::string run : {"dpo", "kto"}) {
    const TempFolder folder;
    RunConfig config = config_of(run, folder.path(), {});
    config.data.shuffle = true;
    config.train.max_steps = 13;  // into the second epoch
    config.train.save_steps = 100;
    train(config, 1);
    const std::string whole = read_file(config.output_dir + "/model.safetensors");
    config.output_dir = folder.path() + "/stopped";
    train(config, 1, /*stopped=*/true);
    train(config, 1);
    EXPECT_EQ(metrics_of(config).size(), 13U);
    EXPECT_TRUE(read_file(config.output_dir + "/model.safetensors") == whole) << run;
  }
}

TEST(Dpo, EvaluationHasTheMetricsToo) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of("dpo", folder.path(), {});
  config.data.eval = config.data.train;
  config.train.max_steps = 2;
  train(config, 2);
  std::ifstream in(config.output_dir + "/metrics.jsonl");
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    if (row.contains("eval_loss")) rows.push_back(std::move(row));
  }
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_NEAR(rows[0]["eval_loss"].get<double>(), 0.693147, 1e-5);
  EXPECT_NEAR(rows[0]["eval_rewards/margins"].get<double>(), 0, 1e-4);
  EXPECT_GT(rows[1]["eval_rewards/accuracies"].get<double>(), 0);
}

TEST(Dpo, AReferenceOfAnotherModelIsRefusedBeforeTheFirstStep) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of("dpo", folder.path(), {});
  config.train.max_steps = 1;
  train(config, 1);
  std::string cache;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() + "/cache/reference")) cache = entry.path();
  const at::Tensor kept = SafetensorsFile(cache).tensor("logps").clone();
  EXPECT_EQ(kept.isnan().sum().item<int64_t>(), 72);  // 4 of 40 pairs were needed
  write_safetensors(cache, {{"logps", kept + at::tensor({5.0, 0.0}, at::kDouble)}});
  EXPECT_THAT([&] { train(config, 1); }, testing::ThrowsMessage<std::runtime_error>(testing::HasSubstr("must be 0.693147")));
}

TEST(Dpo, DataOfTheOtherKindAreRefused) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of("dpo", folder.path(), {});
  config.dpo.loss_type = {"kto"};
  EXPECT_THAT([&] { train(config, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("holds the column chosen, but single answers with a label are asked for")));
}

TEST(Dpo, EveryLossTrainsAStep) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  int trained = 0;
  for (const PreferenceLossEntry& entry : preference_losses()) {
    RunConfig config = config_of(entry.pairs ? "dpo" : "kto", folder.path(), {});
    config.output_dir = folder.path() + "/" + std::string(entry.name);
    config.train.max_steps = 1;
    config.dpo.loss_type = {std::string(entry.name)};
    if (entry.name == "conservative" || entry.name == "exo_pair") config.dpo.label_smoothing = 0.1;
    train(config, 1);
    EXPECT_TRUE(metrics_of(config).at(0)["loss"].is_number()) << entry.name;
    ++trained;
  }
  EXPECT_EQ(trained, 22);
}

TEST(Dpo, SftAndWeightingDoNotDependOnTheLayout) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::vector<double> losses;
  for (const Layout& layout : {Layout{1, 4, 1}, Layout{1, 1, 4}, Layout{2, 1, 2}}) {
    const TempFolder folder;
    RunConfig config = config_of("dpo", folder.path(), layout);
    config.train.max_steps = 3;
    config.dpo.loss_type = {"sigmoid", "sft"};
    config.dpo.use_weighting = true;
    config.dpo.ld_alpha = 0.5;
    train(config, layout.ranks);
    losses.push_back(metrics_of(config).at(2)["loss"].get<double>());
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-5);
  EXPECT_NEAR(losses[0], losses[2], 1e-5);
}

TEST(Dpo, AReferenceThatFollowsIsKeptWithTheCheckpoint) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig whole = config_of("dpo", folder.path(), {});
  whole.train.max_steps = 6;
  whole.schedule.lr_scheduler_type = "constant";
  whole.dpo.sync_ref_model = true;
  whole.dpo.ref_model_sync_steps = 2;
  whole.dpo.ref_model_mixup_alpha = 1;
  train(whole, 2);
  const auto rows = metrics_of(whole);
  ASSERT_EQ(rows.size(), 6U);
  // With all of the policy in the reference, the loss is ln 2 again after every second step.
  EXPECT_NEAR(rows[2]["loss"].get<double>(), 0.693147, 1e-5);
  EXPECT_NEAR(rows[4]["loss"].get<double>(), 0.693147, 1e-5);
  EXPECT_GT(std::abs(rows[3]["loss"].get<double>() - 0.693147), 1e-4);

  RunConfig stopped = whole;
  stopped.output_dir = folder / "stopped";
  stopped.train.save_steps = 3;
  stopped.train.max_steps = 3;
  train(stopped, 2);
  stopped.train.max_steps = 6;
  train(stopped, 2);
  const auto resumed = metrics_of(stopped);
  ASSERT_EQ(resumed.size(), 6U);
  EXPECT_EQ(resumed[5]["loss"], rows[5]["loss"]);
  EXPECT_EQ(read_file(whole.output_dir + "/model.safetensors"), read_file(stopped.output_dir + "/model.safetensors"));
}

TEST(Dpo, AdaptersOffAreTheReference) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::vector<std::vector<nlohmann::json>> runs;
  for (const bool precompute : {true, false}) {
    const TempFolder folder;
    RunConfig config = config_of("dpo", folder.path(), {1, 2, 2, precompute});
    config.train.max_steps = 4;
    config.has_lora = true;
    train(config, 1);
    runs.push_back(metrics_of(config));
    ASSERT_EQ(runs.back().size(), 4U);
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(runs[0][i]["loss"].get<double>(), runs[1][i]["loss"].get<double>(), 1e-6);
  EXPECT_GT(std::abs(runs[0][3]["loss"].get<double>() - 0.693147), 1e-5);
  const TempFolder folder;
  RunConfig config = config_of("dpo", folder.path(), {});
  config.has_lora = true;
  config.dpo.sync_ref_model = true;
  EXPECT_THAT([&] { train(config, 1); }, testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("does not go with lora")));
}

}  // namespace
}  // namespace lathe

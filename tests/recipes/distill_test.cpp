#include "recipes/distill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/shards/document.h"
#include "recipes/capture.h"
#include "recipes/distill_batches.h"
#include "tests/recipes/distill_run.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/safetensors.h"

// The recipe from raw records to the final weights, against TRL's GKD trainer and against itself.
namespace lathe {
namespace {

std::map<std::string, at::Tensor> weights_of(const RunConfig& config) {
  const SafetensorsFile file(config.output_dir + "/model.safetensors");
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, entry] : file.entries())
    weights[name] = file.tensor(name).to(at::kFloat).clone();
  return weights;
}

double largest_gap(const RunConfig& a, const RunConfig& b) {
  double gap = 0;
  const auto other = weights_of(b);
  EXPECT_GT(other.size(), 10U);
  for (const auto& [name, value] : weights_of(a))
    gap = std::max(gap, (value - other.at(name)).abs().max().item<double>());
  return gap;
}

TEST(DistillRecipe, TrajectoryEqualsTrlHoweverAStepIsSplit) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::ifstream in(fixture("gkd/expected.json"));
  const nlohmann::json expected = nlohmann::json::parse(in).at("steps");
  ASSERT_EQ(expected.size(), 10U);
  const SafetensorsFile reference(fixture("gkd/weights_final.safetensors"));
  for (const Layout& layout :
       {Layout{1, 2, 2}, Layout{1, 4, 1}, Layout{2, 1, 2}, Layout{4, 1, 1}}) {
    SCOPED_TRACE(testing::Message()
                 << layout.ranks << " ranks, " << layout.micro_batches << " micro-batches");
    const TempFolder folder;
    const RunConfig config = config_of(folder.path(), layout);
    run_recipe(config, layout.ranks);
    const auto found = metrics_of(config);
    ASSERT_EQ(found.size(), 10U);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 1e-5) << i;
      EXPECT_NEAR(found[i]["grad_norm"].get<double>() / expected[i]["grad_norm"].get<double>(), 1,
                  1e-4)
          << i;
      EXPECT_NEAR(found[i]["divergence"].get<double>(), found[i]["loss"].get<double>(), 1e-5);
    }
    for (const auto& [name, value] : weights_of(config))
      EXPECT_LT((value - reference.tensor(name)).abs().max().item<double>(), 5e-5) << name;
  }
}

TEST(DistillRecipe, KeptRowsOfAllTokensTrainLikeTheTeacherItself) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig online = config_of(folder.path()), offline = online;
  online.train.max_steps = offline.train.max_steps = 4;
  online.distill.divergence = offline.distill.divergence = "forward_kl";
  run_recipe(online, 1);
  run_recipe(capture_config(folder.path(), 1 << 20), 1);
  offline.output_dir = folder / "offline";
  offline.distill.teacher_model_name_or_path.clear();
  offline.distill.teacher_shards = {folder / "rows"};
  run_recipe(offline, 1);
  const auto a = metrics_of(online), b = metrics_of(offline);
  ASSERT_EQ(b.size(), 4U);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(a[i]["loss"].get<double>(), b[i]["loss"].get<double>(), 2e-4);
  // logp is kept in float16, and Adam takes the smallest gradients as far as others.
  EXPECT_LT(largest_gap(online, offline), 5e-3);
}

// A teacher that is sure of what the data say: its rows are the targets, however documents are cut.
TEST(DistillRecipe, RowsFollowTheirTokensThroughEveryPacking) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path());
  const Tokenizer tokenizer(fixture("model"));
  on_ranks(1, [&](Mesh& mesh) {
    Metrics metrics("", false);
    const Datasets data = open_datasets(config, {config.data.train[0], config.data.train[0]},
                                        tokenizer, folder / "cache", mesh, metrics);
    const Dataset& dataset = *data[0];
    const TeacherInfo info{.teacher_hash = "sure",
                           .tokenizer_hash = tokenizer.hash(),
                           .template_hash = dataset.manifest().template_hash,
                           .dataset_hash = dataset_hash(dataset),
                           .vocab_size = tokenizer.vocab_size(),
                           .k = 1};
    TeacherManifest manifest{.info = info, .shards = {}, .report = {}};
    for (const CaptureUnit& unit : plan_capture(dataset, 300)) {
      const std::string name = "s" + std::to_string(unit.first) + ".h5";
      TeacherWriter writer(folder / name, info, unit.first);
      for (int64_t d = unit.first; d < unit.first + unit.count; ++d) {
        const auto [tokens, mask] = read_document(dataset, d);
        std::vector<int64_t> ids;
        for (size_t i = 1; i < tokens.size(); ++i) {
          if (mask[i]) ids.push_back(tokens[i]);
        }
        writer.add(ids, std::vector<float>(ids.size(), 0), std::vector<float>(ids.size(), -16));
      }
      manifest.shards.push_back(writer.finish());
    }
    ASSERT_GT(manifest.shards.size(), 3U);
    write_teacher_manifest(folder.path(), manifest);
    int64_t compared = 0;
    for (const Packing packing : {Packing::kOff, Packing::kBestFit, Packing::kWrapped}) {
      for (const int64_t max_length : {17, 1024}) {
        Loader loader(data, {},
                      {.max_length = max_length,
                       .packing = packing,
                       .seed = 3,
                       .rows_per_micro_batch = 5,
                       .label = {}});
        std::vector<TeacherSet> sets;
        sets.emplace_back(folder.path(), dataset);
        sets.emplace_back(folder.path(), dataset);
        const auto model = tiny_model();
        DistillSource source{.mesh = mesh,
                             .loader = loader,
                             .config = config.distill,
                             .student = *model,
                             .datasets = data,
                             .sets = std::move(sets)};
        for (int64_t step = 0; step < loader.steps_per_epoch(); ++step) {
          const Batch batch = source.next()[0];
          const at::Tensor targets = batch.targets.masked_select(batch.targets != kIgnore);
          ASSERT_TRUE(at::equal(batch.teacher.ids_NK.select(1, 0), targets));
          compared += targets.numel();
        }
      }
    }
    EXPECT_GT(compared, 10000);
  });
}

TEST(DistillRecipe, CaptureMakesTheSameFilesOnAnyRanksAndAfterAStop) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = capture_config(folder.path(), 8);
  run_recipe(config, 1);
  const auto files = shards_in(config.output_dir);
  ASSERT_GT(files.size(), 2U);
  const auto manifest = nlohmann::json::parse(read_file(config.output_dir + "/teacher.json"));
  EXPECT_EQ(manifest["k"], 8);
  EXPECT_GT(manifest["report"]["mass_of_k"].get<double>(), 0);
  EXPECT_LT(manifest["report"]["mass_of_k"].get<double>(), 1);
  EXPECT_GT(manifest["report"]["tokens_per_second"].get<double>(), 0);
  EXPECT_GT(manifest["report"]["bytes_per_row"].get<double>(), 8 * 4);

  RunConfig other = config;
  other.output_dir = folder / "two";
  run_recipe(other, 2);
  EXPECT_EQ(shards_in(other.output_dir), files);

  // What was finished stays; a stop before anything leaves no manifest.
  std::filesystem::remove(other.output_dir + "/teacher.json");
  std::filesystem::remove(other.output_dir + "/teacher-00001.h5");
  const auto kept = std::filesystem::last_write_time(other.output_dir + "/teacher-00000.h5");
  run_recipe(other, 1, /*stopped=*/true);
  EXPECT_FALSE(std::filesystem::exists(other.output_dir + "/teacher.json"));
  run_recipe(other, 1);
  EXPECT_EQ(shards_in(other.output_dir), files);
  EXPECT_EQ(std::filesystem::last_write_time(other.output_dir + "/teacher-00000.h5"), kept);
  const auto again = nlohmann::json::parse(read_file(other.output_dir + "/teacher.json"));
  EXPECT_NEAR(again["report"]["mass_of_k"].get<double>(),
              manifest["report"]["mass_of_k"].get<double>(), 1e-3);

  other.capture.top_k = 9;
  EXPECT_THAT([&] { run_recipe(other, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("another k")));
}

TEST(DistillRecipe, AnswersOfTheStudentDoNotDependOnTheLayout) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  std::vector<std::vector<nlohmann::json>> runs;
  for (const Layout& layout : {Layout{1, 4, 1}, Layout{1, 1, 4}, Layout{2, 1, 2}}) {
    const TempFolder folder;
    RunConfig config = config_of(folder.path(), layout);
    config.train.max_steps = 4;
    config.distill.lmbda = 0.5;
    config.distill.max_new_tokens = 12;
    run_recipe(config, layout.ranks);
    runs.push_back(metrics_of(config));
  }
  double student_steps = 0;
  for (size_t i = 0; i < 4; ++i) {
    student_steps += runs[0][i]["student_steps"].get<double>();
    for (size_t r = 1; r < 3; ++r) {
      EXPECT_NEAR(runs[r][i]["loss"].get<double>(), runs[0][i]["loss"].get<double>(), 1e-5);
      EXPECT_EQ(runs[r][i]["num_tokens"], runs[0][i]["num_tokens"]);
      EXPECT_EQ(runs[r][i]["student_steps"], runs[0][i]["student_steps"]);
    }
  }
  EXPECT_GT(student_steps, 0);
  EXPECT_LT(student_steps, 4);
}

TEST(DistillRecipe, TheShareOfStudentStepsIsLambda) {
  int64_t chosen = 0;
  for (int64_t row = 0; row < 4000; ++row) {
    chosen += is_student_step(7, {row % 3, row}, 0.3);
    EXPECT_TRUE(is_student_step(7, {0, row}, 1));
    EXPECT_FALSE(is_student_step(7, {0, row}, 0));
  }
  EXPECT_NEAR(static_cast<double>(chosen) / 4000, 0.3, 0.03);
}

TEST(DistillRecipe, ResumesToTheSameBits) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const bool on_policy : {false, true}) {
    const TempFolder folder;
    RunConfig whole = config_of(folder.path()), stopped = whole;
    whole.train.max_steps = stopped.train.max_steps = 4;
    whole.distill.lmbda = stopped.distill.lmbda = on_policy ? 0.7 : 0;
    whole.distill.max_new_tokens = stopped.distill.max_new_tokens = 8;
    run_recipe(whole, 1);
    stopped.output_dir = folder / "stopped";
    run_recipe(stopped, 1, /*stopped=*/true);
    run_recipe(stopped, 1);
    EXPECT_EQ(largest_gap(whole, stopped), 0);
  }
}

TEST(DistillRecipe, AdaptersOffAreATeacherThatAgreesAtTheStart) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path());
  config.train.max_steps = 2;
  config.has_lora = true;
  config.distill.teacher_model_name_or_path = "self";
  config.distill.ce_weight = 0.5;
  run_recipe(config, 1);
  const auto steps = metrics_of(config);
  EXPECT_NEAR(steps[0]["divergence"].get<double>(), 0, 1e-6);
  EXPECT_EQ(steps[0]["teacher_agreement"], 1);
  EXPECT_GT(steps[1]["divergence"].get<double>(), 1e-9);
}

// The teacher is wider: projections are trained too, saved, and no part of the model.
TEST(DistillRecipe, LayersComeNearTheTeachersAndResumeToTheSameBits) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig whole = config_of(folder.path()), stopped = whole;
  for (RunConfig* config : {&whole, &stopped}) {
    config->train.max_steps = 6;
    config->distill.hidden_weight = 1;
    config->distill.attention_weight = 1;
  }
  whole.data.eval = whole.data.train;
  whole.train.eval_steps = 3;
  run_recipe(whole, 1);
  const auto steps = metrics_of(whole);
  const auto of = [](const nlohmann::json& row, const char* key) { return row[key].get<double>(); };
  for (const auto& step : steps)
    EXPECT_NEAR(of(step, "loss"),
                of(step, "divergence") + of(step, "hidden_loss") + of(step, "attention_loss"), 1e-5);
  EXPECT_LT(of(steps.back(), "hidden_loss"), 0.95 * of(steps.front(), "hidden_loss"));
  EXPECT_LT(of(steps.back(), "attention_loss"), of(steps.front(), "attention_loss"));
  const auto evaluations = metrics_of(whole, "eval_hidden_loss");
  ASSERT_GE(evaluations.size(), 2U);
  EXPECT_LT(of(evaluations.back(), "eval_hidden_loss"), of(evaluations[0], "eval_hidden_loss"));
  // What is evaluated is cross entropy alone.
  EXPECT_NEAR(of(evaluations[0], "eval_loss"), of(evaluations[0], "eval_cross_entropy"), 1e-5);
  EXPECT_FALSE(weights_of(whole).contains("distill.projection.0.weight"));

  stopped.output_dir = folder / "stopped";
  run_recipe(stopped, 1, /*stopped=*/true);
  run_recipe(stopped, 1);
  EXPECT_EQ(largest_gap(whole, stopped), 0);
}

// Two tokenizers that cut the same text differently; the share of targets that are compared is
// told.
TEST(DistillRecipe, ATeacherWithAnotherTokenizerIsMetWhereBothGoOnWithOneToken) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path());
  config.train.max_steps = 6;
  std::filesystem::create_directories(folder / "teacher");
  for (const char* file : {"/config.json", "/model.safetensors"})
    std::filesystem::copy(fixture("teacher") + file, folder / "teacher" + file);
  for (const char* file : {"/tokenizer.json", "/tokenizer_config.json"})
    std::filesystem::copy(fixture("model") + file, folder / "teacher" + file);
  config.distill.teacher_model_name_or_path = folder / "teacher";
  config.distill.cross_vocabulary = "aligned";
  config.distill.divergence = "forward_kl";
  // The same tokenizer is the case where nearly everything is compared, over nearly all tokens:
  // those that are no text by themselves, as the parts of a character, are one outcome together.
  run_recipe(config, 1);
  const auto same = metrics_of(config);
  config.output_dir = folder / "plain";
  config.distill.cross_vocabulary = "false";
  run_recipe(config, 1);
  const auto plain = metrics_of(config);
  EXPECT_GT(same[0]["one_to_one"].get<double>(), 0.95);
  EXPECT_NEAR(same[0]["divergence"].get<double>() / plain[0]["divergence"].get<double>(), 1, 0.1);

  config.output_dir = folder / "other";
  config.distill.teacher_model_name_or_path = shared_path("data/models/stories260K-hf");
  config.distill.cross_vocabulary = "uld";
  run_recipe(config, 1);
  const auto steps = metrics_of(config);
  for (const auto& step : steps) {
    EXPECT_GT(step["one_to_one"].get<double>(), 0.05);
    EXPECT_LT(step["one_to_one"].get<double>(), 0.9);
    // The loss is a mean over all targets, the divergence over those that are compared.
    EXPECT_NEAR(step["loss"].get<double>(),
                step["divergence"].get<double>() * step["one_to_one"].get<double>(), 1e-5);
  }
  EXPECT_LT(steps.back()["divergence"].get<double>(), steps.front()["divergence"].get<double>());
}

TEST(DistillRecipe, ATeacherThatDoesNotFitIsRefused) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const auto fault = [](const RunConfig& config) {
    try {
      run_recipe(config, 1);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("no fault");
  };
  RunConfig config = config_of(folder.path());
  config.train.max_steps = 1;
  config.distill.teacher_model_name_or_path = shared_path("data/models/stories260K-hf");
  EXPECT_THAT(fault(config), testing::HasSubstr("has another tokenizer"));
  config.distill.teacher_model_name_or_path.clear();
  config.distill.teacher_shards = {folder / "none"};
  EXPECT_THAT(fault(config), testing::HasSubstr("lathe capture makes such a folder"));
  RunConfig capture = capture_config(folder.path(), 4);
  run_recipe(capture, 1);
  config.distill.teacher_shards = {folder / "rows"};
  config.distill.top_k = 5;
  EXPECT_THAT(fault(config), testing::HasSubstr("holds 4 tokens a row"));
  config.distill.top_k = 0;
  config.data.assistant_only_loss = false;  // other data
  EXPECT_THAT(fault(config), testing::HasSubstr("make it again with lathe capture"));
  config.distill.teacher_shards = {folder / "rows", folder / "rows"};
  EXPECT_THAT(fault(config), testing::HasSubstr("names 2 folders"));
}

}  // namespace
}  // namespace lathe

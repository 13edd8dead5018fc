#include "recipes/teacher_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/recipes/distill_run.h"
#include "tests/temp_folder.h"
#include "trainer/generate/generate.h"
#include "trainer/generate/generation_config.h"
#include "trainer/hf_folder.h"

// Sequence-level distillation: what the teacher answers, and that it stays.
namespace lathe {
namespace {

// Sequence-level, greedy.
RunConfig seq_kd_config(const std::string& folder, const Layout& layout = {}) {
  RunConfig config = config_of(folder, layout);
  config.train.max_steps = 3;
  config.distill.seq_kd = true;
  config.distill.ce_weight = 1;
  config.distill.sampling_temperature = 0;
  config.distill.max_new_tokens = 8;
  return config;
}

std::string answers_of(const RunConfig& config) {
  return read_file(config.output_dir + "/seq_kd/0/answers-00000.jsonl");
}

TEST(TeacherAnswers, AreGivenOnceAndTheStudentIsFineTunedOnThat) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = seq_kd_config(folder.path());
  config.data.eval = {{.path = fixture("gkd/data.jsonl")}};
  run_recipe(config, 1);
  const auto steps = metrics_of(config);
  ASSERT_EQ(steps.size(), 3U);
  const auto evaluations = metrics_of(config, "eval_loss");
  ASSERT_EQ(evaluations.size(), 2U);
  EXPECT_NEAR(evaluations[0]["eval_cross_entropy"].get<double>(),
              evaluations[0]["eval_loss"].get<double>(), 1e-5);
  EXPECT_GT(evaluations[0]["eval_divergence"].get<double>(), 0);

  // What lies there is what the teacher says to the first prompt, and all of it is trained.
  std::istringstream lines(answers_of(config));
  std::string line;
  std::getline(lines, line);
  const auto first = nlohmann::json::parse(line);
  const auto ids = first["input_ids"].get<std::vector<int64_t>>(),
             labels = first["labels"].get<std::vector<int64_t>>();
  const auto answer = std::find_if(labels.begin(), labels.end(), [](int64_t x) { return x >= 0; });
  GenerateRequest request{.prompt = {ids.begin(), ids.begin() + (answer - labels.begin())},
                          .options = {.max_new_tokens = 8}};
  const auto teacher = load_model(fixture("teacher"), at::kFloat, at::kCPU);
  request.options.stop_ids = stop_ids_of(fixture("model"), teacher->config());
  EXPECT_EQ(generate(*teacher, {request})[0].ids, std::vector<int64_t>(answer, labels.end()));

  // Fine-tuning on the same file makes the same steps.
  RunConfig sft = config;
  sft.recipe = "sft";
  sft.output_dir = folder / "sft";
  sft.data.train = {{.path = config.output_dir + "/seq_kd/0/answers-*.jsonl"}};
  run_recipe(sft, 1);
  const auto expected = metrics_of(sft);
  ASSERT_EQ(expected.size(), 3U);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(steps[i]["loss"].get<double>(), expected[i]["loss"].get<double>(), 1e-5);
}

TEST(TeacherAnswers, StayAndDependOnTheSeedAlone) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = seq_kd_config(folder.path());
  config.distill.sampling_temperature = 1;
  config.train.max_steps = 1;
  run_recipe(config, 1);
  const std::string path = config.output_dir + "/seq_kd/0/answers-00000.jsonl",
                    text = answers_of(config);
  const auto written = std::filesystem::last_write_time(path);
  config.train.max_steps = 2;
  run_recipe(config, 1);
  EXPECT_EQ(std::filesystem::last_write_time(path), written);

  RunConfig other = config;
  other.output_dir = folder / "two";
  run_recipe(other, 2);
  EXPECT_EQ(answers_of(other), text);
  other.output_dir = folder / "seed";
  other.seed = 43;
  run_recipe(other, 1);
  EXPECT_NE(answers_of(other), text);

  other = config;
  other.distill.sampling_temperature = 0.5;
  EXPECT_THAT([&] { run_recipe(other, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("other settings")));
  std::ofstream(path, std::ios::app) << "{}\n";
  EXPECT_THAT([&] { run_recipe(config, 1); },
              testing::ThrowsMessage<std::runtime_error>(testing::HasSubstr("remove it")));
}

}  // namespace
}  // namespace lathe

// lathe curate as people call it, and against the reference where it is installed.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/curate/mixture.h"
#include "recipes/timetable.h"
#include "tests/run_program.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

std::string from_source(const std::string& arguments) {
  return "cd " + std::string(LATHE_SOURCE_DIR) + " && " + std::string(LATHE_BINARY) + " " + arguments;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

TEST(CurateProgram, TheGoldenConfigRunsAndSaysWhatItDid) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const std::string command = from_source("curate configs/curate.yaml output_dir=" + (folder / "out"));
  const ProgramResult first = run_program(command);
  ASSERT_EQ(first.code, 0) << first.output;
  EXPECT_NE(first.output.find("7793 documents read"), std::string::npos) << first.output;
  for (const char* file : {"/kept/c4", "/excluded/c4", "/kept/gsm8k", "/report.json", "/report.html"})
    EXPECT_TRUE(std::filesystem::exists(folder / "out" + file)) << file;
  const ProgramResult again = run_program(command);
  EXPECT_NE(again.output.find("was made before"), std::string::npos) << again.output;
}

// Raw text and conversations -> a decontaminated mixture by tiers -> a model. One question of the data is an evaluation's too.
TEST(CurateProgram, TrainFollowsTheMixtureThatWasCurated) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  write_timetable(folder.path(), 1, 8, 2);
  ASSERT_EQ(run_program("head -n 1 " + shared_path("data/sft/gsm8k_train.jsonl") + " >" + (folder / "planted.jsonl")).code, 0);
  const ProgramResult curated = run_program(
      from_source("curate configs/curate_mix.yaml 'evaluations=[{path: ../shared/data/eval/olmo_sciq_requests.jsonl.gz, name: sciq}, "
                  "{path: " + (folder / "planted.jsonl") + ", name: planted, keys: [question]}]' output_dir=" + (folder / "mix")));
  ASSERT_EQ(curated.code, 0) << curated.output;
  const nlohmann::json report = read_json(folder / "mix/report.json");
  EXPECT_EQ(report["contaminated"], nlohmann::json::parse(R"([{"task": "planted", "documents": 1}])"));
  EXPECT_EQ(report["read"].get<int64_t>(), report["kept"].get<int64_t>() + report["dropped"].get<int64_t>());
  for (const char* tier : {"gold", "silver", "synthetic"}) EXPECT_GT(report["tiers"][tier], 0) << tier;
  EXPECT_EQ(report["sources"]["gsm8k"], 7469);
  const auto mixture = read_mixture(folder / "mix");
  ASSERT_TRUE(mixture.has_value());
  ASSERT_EQ(mixture->sources.size(), 6u);
  const ProgramResult trained = run_program(from_source(
      "train configs/sft.yaml from_scratch=true dtype=fp32 max_length=256 on_overlong=split max_steps=2 save_steps=0"
      " per_device_train_batch_size=1 model_name_or_path=" + (folder / "model") + " data.train=" + (folder / "mix") +
      " data.cache_dir=" + (folder / "cache") + " output_dir=" + (folder / "run")));
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_NE(trained.output.find("is a mixture: " + (folder / "mix") + "/kept/books x 0.55"), std::string::npos) << trained.output;
  EXPECT_NE(trained.output.find("/kept/web x 4"), std::string::npos) << trained.output;
  // Two steps: the second stage begins at 0.7 of them, rounded.
  EXPECT_NE(trained.output.find("data: from step 1 on"), std::string::npos) << trained.output;
  EXPECT_TRUE(std::filesystem::exists(folder / "run/model.safetensors"));
}

// Signals that are made here, and a curriculum by one of them.
TEST(CurateProgram, TrainGoesByTheSignalThatTheMixtureNames) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  write_timetable(folder.path(), 1, 8, 2);
  const std::string command = from_source("curate configs/curate_quality.yaml output_dir=" + (folder / "out"));
  const ProgramResult curated = run_program(command);
  ASSERT_EQ(curated.code, 0) << curated.output;
  EXPECT_NE(curated.output.find("quality classifier: trained on"), std::string::npos) << curated.output;
  EXPECT_TRUE(std::filesystem::exists(folder / "out/quality/model.bin"));
  // Another rule decides over what is stored.
  const ProgramResult again = run_program(command + " 'drop=[\"perplexity > 20 or unigram_logprob < -12\"]'");
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_NE(again.output.find("perplexity > 20 or"), std::string::npos) << again.output;
  const ProgramResult trained = run_program(from_source(
      "train configs/sft.yaml from_scratch=true dtype=fp32 max_length=512 max_steps=2 save_steps=0 per_device_train_batch_size=1"
      " model_name_or_path=" + (folder / "model") + " data.train=" + (folder / "out") + " data.cache_dir=" + (folder / "cache") +
      " output_dir=" + (folder / "run")));
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_NE(trained.output.find("data: documents in the order of curated.order, those with the least first"), std::string::npos)
      << trained.output;
}

TEST(CurateProgram, MistakesAreNamedWithTheirPlace) {
  const ProgramResult result = run_program(from_source("curate configs/curate.yaml 'drop=[\"wrods < 5\"]' output_dir=/tmp/never"));
  EXPECT_EQ(result.code, 64) << result.output;
  EXPECT_NE(result.output.find("`wrods` is no signal"), std::string::npos) << result.output;
}

TEST(CurateProgram, DecidesAsDatatroveDoes) {
  if (!have_shared("data/text/c4_demo.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  if (!python_has("datatrove, spacy")) GTEST_SKIP() << "NOT RUN: no datatrove; LATHE_TEST_PYTHON names a Python that has it";
  std::string command = test_python() + " " + LATHE_SOURCE_DIR + "/tests/data/curate_datatrove.py " + LATHE_BINARY;
  for (const char* file : {"c4_demo", "cc_en_head-0091", "cc_en_head-0174"})
    command += " " + shared_path(std::string("data/text/") + file + ".jsonl");
  const ProgramResult result = run_program(command);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_NE(result.output.find("1600 decisions compared, 0 differ"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace lathe

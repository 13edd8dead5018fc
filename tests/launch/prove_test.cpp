// lathe prove, on a small generated model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "recipes/prove.h"
#include "recipes/timetable.h"
#include "tests/run_program.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Prove, FindsThatNoSplitAndNoStopChangesARun) {
  const TempFolder folder;
  write_timetable(folder.path(), 1, 64, 8);
  const std::string config = folder / "config.yaml";
  std::ofstream(config)
      << "recipe: sft\noutput_dir: " << folder / "run"
      << "\nmodel: {model_name_or_path: " << folder / "model"
      << ", from_scratch: true, dtype: fp32}\ndata: {train: " << folder / "train.jsonl"
      << ", max_length: 64, cache_dir: " << folder / "cache"
      << "}\ntrain: {per_device_train_batch_size: 2, gradient_accumulation_steps: 2}\n";
  const ProgramResult result = run_lathe("prove " + config + " --steps 3");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("3 steps of 4 rows in fp32"));
  EXPECT_THAT(result.output, HasSubstr("4 ranks, 1 x 1 rows, zero 1"));
  EXPECT_THAT(result.output, HasSubstr("stopped and resumed"));
  EXPECT_THAT(result.output, Not(HasSubstr("DIFFERS")));
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  EXPECT_EQ(run_lathe("prove " + config + " --steps 1").code, 64);
}

TEST(Prove, KeepsTheRowsOfAStepInEverySplit) {
  RunConfig config;
  config.train.per_device_train_batch_size = 3;
  config.parallel.ranks = 2;
  const std::vector<ProofRun> runs = plan_proof(config, 4);
  ASSERT_EQ(runs.size(), 7u);
  for (const ProofRun& run : runs) {
    const TrainConfig& train = run.config.train;
    EXPECT_EQ(train.per_device_train_batch_size * train.gradient_accumulation_steps *
                  run.config.parallel.ranks,
              8)
        << run.name;
  }
}

TEST(Prove, SeesEveryDifference) {
  const Outcome first{
      .losses = {2, 1}, .gradient_norms = {1, 1}, .weights = {{"w", at::ones({4})}}};
  EXPECT_EQ(compare(first, first).largest(), 0);
  Outcome other = first;
  other.losses[1] = 1.5;
  EXPECT_EQ(compare(first, other).loss, 0.5);
  other = first;
  other.gradient_norms[0] = NAN;
  EXPECT_EQ(compare(first, other).largest(), INFINITY);
  other = first;
  other.weights["w"] = at::full({4}, 1.25);
  EXPECT_EQ(compare(first, other).weights, 0.25);
  other.weights["w"] = at::full({4}, NAN);
  EXPECT_EQ(compare(first, other).weights, INFINITY);
  other.weights["w"] = at::ones({3});
  EXPECT_THROW(compare(first, other), std::runtime_error);
  other = first;
  other.losses.pop_back();
  EXPECT_THROW(compare(first, other), std::runtime_error);
}

}  // namespace
}  // namespace lathe

#include "trainer/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lathe {
namespace {

TEST(Progress, ReadsBackExactly) {
  const Progress before{.step = 12,
                        .updates = 11,
                        .num_tokens = int64_t{1} << 40,
                        .skipped_in_a_row = 1,
                        .run = {.sum = 1.0 / 3, .steps = 11},
                        .since_log = {.sum = 0.1 + 0.2, .steps = 2},
                        .data = {.epoch = 3, .row = 17, .stages = ~uint64_t{0} - 5}};
  const Progress after =
      parse_progress(dump_progress(before, "abc", "a: 1\n"), "abc", "a: 1\n", "here");
  EXPECT_EQ(after.step, 12);
  EXPECT_EQ(after.updates, 11);
  EXPECT_EQ(after.num_tokens, int64_t{1} << 40);
  EXPECT_EQ(after.skipped_in_a_row, 1);
  EXPECT_EQ(after.run.sum, before.run.sum);
  EXPECT_EQ(after.since_log.sum, before.since_log.sum);
  EXPECT_EQ(after.since_log.steps, 2);
  EXPECT_EQ(after.data, before.data);
}

TEST(Progress, OfAnotherConfigurationIsRefusedWithTheLinesThatDiffer) {
  const std::string state = dump_progress({}, "abc", "seed: 1\nlearning_rate: 1e-4\n");
  try {
    parse_progress(state, "abd", "seed: 1\nlearning_rate: 2e-4\n", "runs/checkpoint-5");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("runs/checkpoint-5 belongs to another configuration"));
    EXPECT_THAT(error.what(),
                testing::HasSubstr("\n- learning_rate: 1e-4\n+ learning_rate: 2e-4\n"));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("seed")));
  }
  EXPECT_NO_THROW(parse_progress(state, "abc", "seed: 1\nlogging_steps: 7\n", "here"));
}

TEST(Progress, SettingsThatMayChangeAreTold) {
  const std::string state = dump_progress({}, "abc", "", "zero: 1\nlogging_steps: 5\n");
  EXPECT_EQ(changed_settings(state, "zero: 1\nlogging_steps: 5\n"), "");
  EXPECT_EQ(changed_settings(state, "zero: 3\nlogging_steps: 5\n"), "- zero: 1\n+ zero: 3\n");
  EXPECT_EQ(changed_settings("{}", "zero: 1\n"), "");  // of an earlier version
}

TEST(Progress, TextThatIsNoStateIsRefused) {
  for (const char* text :
       {"{}", "[]", "1", R"({"fingerprint": "f", "config": "", "step": "one"})"}) {
    EXPECT_THROW(parse_progress(text, "f", "", "here"), std::runtime_error) << text;
  }
}

TEST(Progress, DiffKeepsTheOrderOfLines) {
  EXPECT_EQ(line_diff("a\nb\nc\n", "a\nb\nc\n"), "");
  EXPECT_EQ(line_diff("a\nb\nc\n", "a\nx\nc\nd\n"), "- b\n+ x\n+ d\n");
  EXPECT_EQ(line_diff("", "a\n"), "+ a\n");
  EXPECT_EQ(line_diff("a\nb\n", ""), "- a\n- b\n");
}

TEST(Progress, MeanOfNoStepIsNotANumber) {
  LossMean mean;
  EXPECT_TRUE(std::isnan(mean.value()));
  mean.add(1), mean.add(2);
  EXPECT_EQ(mean.value(), 1.5);
}

}  // namespace
}  // namespace lathe

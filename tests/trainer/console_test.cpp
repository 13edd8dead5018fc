#include "trainer/console.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe {
namespace {

TEST(Console, ShowsAStepInOneLine) {
  const MetricRow row{{"epoch", 0.4211},           {"loss", 1.23444},
                      {"grad_norm", 0.9123},       {"learning_rate", 1.9e-5},
                      {"num_tokens", 1e6},         {"tokens_per_second", 12345},
                      {"data_wait_seconds", 1e-3}, {"step_seconds", 0.5}};
  EXPECT_EQ(train_line(100, 500, row),
            "step 100/500  epoch 0.42  loss 1.2344  grad_norm 0.912    lr 1.9e-05    12.3k tok/s  "
            "data 0.2 %  eta 3m20s");
  EXPECT_TRUE(train_line(1, 500, row).starts_with("step   1/500  "));
}

TEST(Console, ShowsWhatAnObjectiveAdds) {
  EXPECT_EQ(train_line(1, 2, {{"loss", 1}, {"rewards/margins", 0.25}}),
            "step 1/2  loss 1.0000  rewards/margins 0.25");
}

TEST(Console, HasNoControlCharacters) {
  const std::string line =
      train_line(1, 2, {{"loss", NAN}, {"grad_norm", INFINITY}, {"step_seconds", NAN}});
  for (const char c : line) EXPECT_GE(c, ' ') << line;
  EXPECT_NE(line.find("loss nan"), std::string::npos);
}

TEST(Console, ShortensDurationsAndCounts) {
  EXPECT_EQ(short_duration(5.2), "5s");
  EXPECT_EQ(short_duration(59.7), "1m00s");
  EXPECT_EQ(short_duration(130), "2m10s");
  EXPECT_EQ(short_duration(3725), "1h02m");
  EXPECT_EQ(short_duration(90000), "1d01h");
  EXPECT_EQ(short_count(999), "999");
  EXPECT_EQ(short_count(12345), "12.3k");
  EXPECT_EQ(short_count(999'960), "1.0M");
}

TEST(Console, ShowsAnEvaluation) {
  EXPECT_EQ(eval_line(5, {{"epoch", 1}, {"eval_loss", 2.5}, {"eval_runtime", 1.25}}),
            "eval at step 5  eval_loss 2.5000  in 1.2s");
}

}  // namespace
}  // namespace lathe

#include "trainer/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace lathe {
namespace {

TEST(Schedule, WarmsUpFromZeroInEqualSteps) {
  for (const char* type : {"cosine", "linear", "constant_with_warmup"}) {
    const ScheduleConfig config{.lr_scheduler_type = type, .warmup_steps = 4};
    for (int64_t step = 0; step <= 4; ++step)
      EXPECT_EQ(schedule_factor(config, step, 100), step / 4.0) << type;
  }
}

TEST(Schedule, ConstantHasNoWarmUp) {
  const ScheduleConfig config{.lr_scheduler_type = "constant", .warmup_steps = 4};
  EXPECT_EQ(schedule_factor(config, 0, 100), 1);
  EXPECT_EQ(schedule_factor(config, 99, 100), 1);
}

TEST(Schedule, LinearReachesZeroAfterTheLastStep) {
  const ScheduleConfig config{.lr_scheduler_type = "linear"};
  EXPECT_EQ(schedule_factor(config, 0, 10), 1);
  EXPECT_EQ(schedule_factor(config, 5, 10), 0.5);
  EXPECT_EQ(schedule_factor(config, 10, 10), 0);
  EXPECT_EQ(schedule_factor(config, 11, 10), 0);
}

TEST(Schedule, CosineEndsAtTheRatio) {
  const ScheduleConfig config{
      .lr_scheduler_type = "cosine", .warmup_steps = 3, .min_lr_ratio = 0.1};
  EXPECT_EQ(schedule_factor(config, 3, 12), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 4, 12),
                   0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi / 9)));
  EXPECT_DOUBLE_EQ(schedule_factor(config, 12, 12), 0.1);
}

TEST(Schedule, WarmUpBelowOneIsAShareRoundedUp) {
  const ScheduleConfig config{.lr_scheduler_type = "linear", .warmup_steps = 0.03};
  EXPECT_EQ(schedule_factor(config, 1, 101), 1 / 4.0);  // ceil(3.03)
  EXPECT_EQ(schedule_factor(config, 4, 101), 1);
}

TEST(Schedule, SurvivesAWarmUpAsLongAsTheRun) {
  const ScheduleConfig config{.lr_scheduler_type = "cosine", .warmup_steps = 20};
  EXPECT_EQ(schedule_factor(config, 9, 10), 9 / 20.0);
  EXPECT_EQ(schedule_factor(config, 20, 10), 1);
}

TEST(Schedule, RefusesAnUnknownShapeByName) {
  const ScheduleConfig config{.lr_scheduler_type = "cosin"};
  EXPECT_THROW(schedule_factor(config, 0, 10), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

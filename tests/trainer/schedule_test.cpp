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

TEST(Schedule, RestartsFallFromThePeakAgain) {
  const ScheduleConfig config{.lr_scheduler_type = "cosine_with_restarts", .num_cycles = 2};
  EXPECT_EQ(schedule_factor(config, 0, 8), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 2, 8), 0.5);
  EXPECT_EQ(schedule_factor(config, 4, 8), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 6, 8), 0.5);
  EXPECT_EQ(schedule_factor(config, 8, 8), 0);
}

TEST(Schedule, PolynomialIsAPowerOfWhatIsLeft) {
  const ScheduleConfig config{
      .lr_scheduler_type = "polynomial", .warmup_steps = 2, .min_lr_ratio = 0.2, .power = 2};
  EXPECT_DOUBLE_EQ(schedule_factor(config, 6, 10), 0.2 + 0.8 * 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 10, 10), 0.2);
}

TEST(Schedule, InverseSqrtGoesOnFromTheWarmUp) {
  const ScheduleConfig config{.lr_scheduler_type = "inverse_sqrt", .warmup_steps = 4};
  EXPECT_EQ(schedule_factor(config, 2, 100), 0.5);
  EXPECT_EQ(schedule_factor(config, 4, 100), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 16, 100), 0.5);
  const ScheduleConfig slow{.lr_scheduler_type = "inverse_sqrt"};
  EXPECT_DOUBLE_EQ(schedule_factor(slow, 30'000, 100'000), 0.5);
}

TEST(Schedule, CosineWithMinLrEndsAtTheRatio) {
  const ScheduleConfig config{.lr_scheduler_type = "cosine_with_min_lr", .min_lr_ratio = 0.25};
  EXPECT_EQ(schedule_factor(config, 0, 10), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 5, 10), 0.25 + 0.75 * 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 10, 10), 0.25);
}

TEST(Schedule, WarmsUpStaysAndDecays) {
  ScheduleConfig config{.lr_scheduler_type = "warmup_stable_decay",
                        .warmup_steps = 0.1,
                        .min_lr_ratio = 0.1,
                        .decay_steps = 0.2};
  EXPECT_EQ(schedule_factor(config, 5, 100), 0.5);
  for (const int64_t step : {10, 50, 80}) EXPECT_EQ(schedule_factor(config, step, 100), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 90, 100), 0.1 + 0.9 * 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(config, 100, 100), 0.1);
  config.decay_type = "1-sqrt";
  EXPECT_DOUBLE_EQ(schedule_factor(config, 85, 100), 0.1 + 0.9 * 0.5);
  config.decay_type = "linear";
  EXPECT_DOUBLE_EQ(schedule_factor(config, 85, 100), 0.1 + 0.9 * 0.75);
  config.decay_steps = 20;
  EXPECT_DOUBLE_EQ(schedule_factor(config, 85, 100), 0.1 + 0.9 * 0.75);
  config.decay_steps = 0;
  EXPECT_EQ(conflicts(config).size(), 1u);
}

TEST(Schedule, RefusesAnUnknownShapeByName) {
  const ScheduleConfig config{.lr_scheduler_type = "cosin"};
  EXPECT_THROW(schedule_factor(config, 0, 10), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

#include "trainer/loss_watch.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(LossWatch, TellsWhatStandsOutAndNothingElse) {
  LossWatch watch;
  for (int step = 0; step < 100; ++step) {
    EXPECT_FALSE(watch.see(3.0 - 0.01 * step + 0.1 * (step % 5))) << step;
  }
  const auto spike = watch.see(6.5);
  ASSERT_TRUE(spike);
  EXPECT_NEAR(spike->usual, 2.7, 0.1);
  EXPECT_FALSE(watch.see(2.1));
}

TEST(LossWatch, IsSilentWithLittleToCompareWithAndWhereNothingMoves) {
  LossWatch few, still;
  for (int step = 0; step < 10; ++step) few.see(1.0);
  EXPECT_FALSE(few.see(100.0));
  for (int step = 0; step < 50; ++step) still.see(1.0);
  EXPECT_FALSE(still.see(1.05));
  EXPECT_TRUE(still.see(1.07));
}

}  // namespace
}  // namespace lathe

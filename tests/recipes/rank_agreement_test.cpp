#include "recipes/rank_agreement.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe {
namespace {

TEST(RankAgreement, CorrelationsOfRanksWithAndWithoutTies) {
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3, 4, 5}, {2, 1, 3, 4, 5}).value(), 0.8);
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3}, {3, 2, 1}).value(), -1);
  // Two of three pairs agree, the third is a tie on one side: 2 / sqrt(3 x 2).
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3}, {1, 1, 2}).value(), 2 / std::sqrt(6.0));
  EXPECT_FALSE(kendall_tau({1, 2}, {7, 7}));
  EXPECT_FALSE(kendall_tau({}, {}));
}

}  // namespace
}  // namespace lathe

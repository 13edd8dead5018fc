#include "data/loader/order.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace lathe {
namespace {

std::vector<uint64_t> all_of(const Permutation& permutation) {
  std::vector<uint64_t> values;
  for (uint64_t k = 0; k < permutation.size(); ++k) values.push_back(permutation(k));
  return values;
}

TEST(Order, IsABijection) {
  for (uint64_t n = 1; n <= 1000; ++n) {
    std::vector<bool> seen(n, false);
    for (const uint64_t value : all_of(Permutation(n, 7, n))) {
      ASSERT_LT(value, n);
      ASSERT_FALSE(seen[value]);
      seen[value] = true;
    }
  }
}

TEST(Order, DiffersBySeedAndEpoch) {
  std::set<std::vector<uint64_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t epoch = 0; epoch < 20; ++epoch)
      orders.insert(all_of(Permutation(100, seed, epoch)));
  }
  EXPECT_EQ(orders.size(), 400);
}

TEST(Order, ReachesEveryPermutationOfFourEvenly) {
  std::vector<int> count(256, 0);
  for (uint64_t epoch = 0; epoch < 24000; ++epoch) {
    const auto order = all_of(Permutation(4, 1, epoch));
    ++count[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]];
  }
  int reached = 0;
  for (const int times : count) {
    if (times == 0) continue;
    ++reached;
    EXPECT_NEAR(times, 1000, 200);  // six standard deviations
  }
  EXPECT_EQ(reached, 24);
}

TEST(Order, StaysTheSameFromBuildToBuild) {
  EXPECT_EQ(mix_bits(0),
            0xe220a8397b1dcdafU);  // the published first output of splitmix64 from seed 0
  const Permutation large(1000000007, 42, 3);
  EXPECT_NE(large(0), large(1));
  EXPECT_LT(large(1000000006), 1000000007U);
}

}  // namespace
}  // namespace lathe

#include "trainer/nearest.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(Nearest, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("sfit", "sift"), 1);
  EXPECT_EQ(edit_distance("sft", "sft"), 0);
}

TEST(Nearest, TakesTheFirstOfTheNearAndNothingFar) {
  EXPECT_EQ(nearest("wieght", {"path", "weight", "height"}), "weight");
  EXPECT_EQ(nearest("sfft", {"dpo", "sft"}), "sft");
  EXPECT_EQ(nearest("zzz", {"dpo", "sft"}), "");
  EXPECT_EQ(nearest("", {"a"}), "");
  EXPECT_EQ(nearest(std::string(1'000'000, 'a'), {"a"}), "");
  EXPECT_EQ(did_you_mean("dp", {"dpo"}), "; did you mean `dpo`?");
}

}  // namespace
}  // namespace lathe

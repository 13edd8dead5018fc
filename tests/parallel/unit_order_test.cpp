#include "parallel/unit_order.h"

#include <gtest/gtest.h>

#include <vector>

namespace lathe {
namespace {

struct Use {
  int unit;
  UnitUse use = UnitUse::kForward;
};

std::vector<int> told(UnitOrder& order, const std::vector<Use>& pass) {
  std::vector<int> next;
  order.begin_pass();
  for (const Use& each : pass) next.push_back(order.next_after(each.unit, each.use));
  return next;
}

constexpr int kUnknown = UnitOrder::kUnknown;
constexpr UnitUse kAlone = UnitUse::kForwardAlone, kBackward = UnitUse::kBackward;

TEST(UnitOrder, IsKnownFromTheSecondPassOn) {
  UnitOrder order;
  const std::vector<Use> pass{{0}, {1}, {2}, {2, kBackward}, {1, kBackward}};
  EXPECT_EQ(told(order, pass), std::vector<int>(5, kUnknown));
  EXPECT_EQ(told(order, pass), (std::vector<int>{1, 2, 2, 1, kUnknown}));
}

TEST(UnitOrder, TellsAUnitsTwoUsesApart) {
  UnitOrder order;
  // The head is the embedding.
  const std::vector<Use> pass{{0}, {1}, {2}, {0}, {0, kBackward}, {2, kBackward}, {1, kBackward}};
  told(order, pass);
  EXPECT_EQ(told(order, pass), (std::vector<int>{1, 2, 0, 0, 2, 1, kUnknown}));
}

TEST(UnitOrder, OfAnEvaluationIsAnother) {
  UnitOrder order;
  const std::vector<Use> training{{0}, {1}, {1, kBackward}}, evaluation{{0, kAlone}, {1, kAlone}};
  told(order, training);
  EXPECT_EQ(told(order, evaluation), (std::vector<int>{kUnknown, kUnknown}));
  EXPECT_EQ(told(order, evaluation), (std::vector<int>{1, kUnknown}));
  EXPECT_EQ(told(order, training), (std::vector<int>{1, 1, kUnknown}));
}

TEST(UnitOrder, FollowsTheLastTime) {
  UnitOrder order;
  told(order, {{0}, {1}, {2}});
  EXPECT_EQ(told(order, {{0}, {2}}), (std::vector<int>{1, kUnknown}));
  EXPECT_EQ(told(order, {{0}, {1}}), (std::vector<int>{2, 2}));
}

}  // namespace
}  // namespace lathe

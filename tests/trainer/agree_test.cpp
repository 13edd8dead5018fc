#include "trainer/agree.h"

#include <gtest/gtest.h>

#include <atomic>

#include "parallel/local_group.h"

namespace lathe {
namespace {

TEST(Agree, SumsFlagsAndBytesAreTheSameOnEveryRank) {
  for (const int size : {1, 3}) {
    run_local(size, [&](std::unique_ptr<Group> group) {
      const int rank = group->rank();
      EXPECT_EQ(sum_over(*group, {rank, 1}), (std::vector<int64_t>{size * (size - 1) / 2, size}));
      EXPECT_TRUE(any(*group, rank == size - 1));
      EXPECT_FALSE(any(*group, false));
      const std::vector<std::string> all = gather_bytes(*group, std::string(rank, 'x'));
      ASSERT_EQ(all.size(), static_cast<size_t>(size));
      for (int r = 0; r < size; ++r) EXPECT_EQ(all[r], std::string(r, 'x'));
      EXPECT_EQ(
          broadcast_bytes(*group, rank == size - 1 ? std::string("a\0b", 3) : "other", size - 1),
          std::string("a\0b", 3));
      EXPECT_EQ(broadcast_bytes(*group, rank == 0 ? "" : "other", 0), "");
    });
  }
}

TEST(Agree, FailureOfOneIsThrownOnAllInItsKind) {
  std::atomic<int> users = 0, worlds = 0;
  run_local(3, [&](std::unique_ptr<Group> group) {
    try {
      together(*group, [&] {
        if (group->rank() == 1) throw std::invalid_argument("the config");
      });
    } catch (const std::invalid_argument& error) {
      if (std::string(error.what()) == "the config") ++users;
    }
    try {
      together(*group, [&] {
        if (group->rank() == 2) throw std::runtime_error("the disk");
      });
    } catch (const std::runtime_error& error) {
      if (std::string(error.what()) == "the disk") ++worlds;
    }
    together(*group, [] {});
  });
  EXPECT_EQ(users, 3);
  EXPECT_EQ(worlds, 3);
}

}  // namespace
}  // namespace lathe

#include "parallel/logged_group.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "parallel/mesh.h"
#include "parallel/world.h"

namespace lathe {
namespace {

TEST(LoggedGroup, NotesCallsWithAxisBytesAndStep) {
  run_world({.backend = "local", .ranks = 4}, [](std::unique_ptr<Group> world) {
    auto log = std::make_unique<RankLog>();
    Mesh mesh(logged(std::move(world), *log), {.dp = 2, .tp = 2});
    log->enter(Phase::kStep, 7);
    at::Tensor values = at::ones({3});
    mesh.dp().all_reduce(values, Reduce::kSum);
    mesh.tp().barrier();
    EXPECT_EQ(values[0].item<float>(), 2);
    ASSERT_EQ(log->own.begun, 4);  // two splits before
    EXPECT_EQ(log->own.ended, 4);
    const CollectiveRecord& sum = log->own.record(3);
    EXPECT_STREQ(sum.name, "all_reduce");
    EXPECT_STREQ(sum.axis, "dp");
    EXPECT_EQ(sum.bytes, 12);
    EXPECT_EQ(sum.step, 7);
    EXPECT_GE(sum.end, sum.begin);
    EXPECT_STREQ(log->own.record(4).axis, "tp");
    EXPECT_STREQ(log->own.record(1).axis, "world");
  });
}

// Both count on their own, so that the numbers are equal at all ranks.
TEST(LoggedGroup, NotesWhatIsDoneBesideApart) {
  run_world({.backend = "local", .ranks = 2}, [](std::unique_ptr<Group> world) {
    auto log = std::make_unique<RankLog>();
    Mesh mesh(logged(std::move(world), *log), {.overlap = true});
    EXPECT_EQ(log->own.begun, 3);  // splits
    const int64_t piece = mesh.beside()->give([](Group& dp) {
      at::Tensor values = at::ones({3});
      dp.all_reduce(values, Reduce::kSum);
      dp.barrier();
    });
    for (int i = 0; i < 100; ++i) mesh.dp().barrier();
    mesh.beside()->wait(piece);
    EXPECT_EQ(log->own.begun, 103);
    EXPECT_EQ(log->own.ended, 103);
    EXPECT_EQ(log->beside.begun, 2);
    EXPECT_EQ(log->beside.ended, 2);
    EXPECT_STREQ(log->beside.record(1).name, "all_reduce");
    EXPECT_STREQ(log->beside.record(1).axis, "dp");
    EXPECT_STREQ(log->beside.record(2).name, "barrier");
    EXPECT_STREQ(log->own.record(103).axis, "dp");
  });
}

TEST(LoggedGroup, KeepsTheLast1024) {
  run_world({.backend = "local", .ranks = 2}, [](std::unique_ptr<Group> world) {
    auto log = std::make_unique<RankLog>();
    const std::unique_ptr<Group> group = logged(std::move(world), *log);
    for (int i = 0; i < 1500; ++i) group->barrier();
    EXPECT_EQ(log->own.begun, 1500);
    EXPECT_EQ(log->own.record(1500).number, 1500);
    EXPECT_EQ(log->own.record(1500 - 1023).number, 1500 - 1023);
  });
}

TEST(LoggedGroup, ACallThatFailsStaysOpen) {
  EXPECT_THROW(run_world({.backend = "local", .ranks = 2},
                     [](std::unique_ptr<Group> world) {
                       auto log = std::make_unique<RankLog>();
                       const std::unique_ptr<Group> group = logged(std::move(world), *log);
                       if (group->rank() == 1) throw std::runtime_error("no disk");
                       EXPECT_THROW(group->barrier(), PeerLost);
                       EXPECT_EQ(log->own.begun, 1);
                       EXPECT_EQ(log->own.ended, 0);
                     }),
               std::runtime_error);
}

}  // namespace
}  // namespace lathe

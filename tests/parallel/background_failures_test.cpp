#include <gtest/gtest.h>

#include <atomic>

#include "parallel/background.h"
#include "parallel/local_group.h"

// What becomes of a Background when its rank or a peer fails: many short lives, to meet all the
// orders in which that can happen.
namespace lathe {
namespace {

struct Planned : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void repeat(const std::function<void(int size, int culprit)>& body) {
  for (int size = 2; size <= 4; ++size) {
    for (int round = 0; round < 50; ++round) body(size, round % size);
  }
}

TEST(BackgroundFailures, APieceThatFailsIsKnownToThePeers) {
  repeat([](int size, int culprit) {
    std::atomic<int> told = 0;
    run_local(size, [&](std::unique_ptr<Group> world) {
      Background beside(world->split(0));
      const int64_t piece = beside.give([&](Group& own) {
        if (own.rank() == culprit) throw Planned("no memory");
        own.barrier();
      });
      try {
        beside.wait(piece);
      } catch (const Planned&) {
        EXPECT_EQ(world->rank(), culprit);
      } catch (const PeerLost& lost) {
        EXPECT_EQ(lost.what(), "rank " + std::to_string(culprit) + " failed: no memory");
        ++told;
      }
      // The rank's own calls go on.
      world->barrier();
    });
    EXPECT_EQ(told, size - 1);
  });
}

// A rank throws while its work waits for peers that were not given theirs.
TEST(BackgroundFailures, EndsWhileItsWorkWaitsForAPeer) {
  repeat([](int size, int culprit) {
    const auto body = [&](std::unique_ptr<Group> world) {
      Background beside(world->split(0));
      if (world->rank() != culprit) return world->barrier();
      beside.give([](Group& own) { own.barrier(); });
      beside.give([](Group& own) { own.barrier(); });
      throw Planned("no disk");
    };
    EXPECT_THROW(run_local(size, body), Planned);
  });
}

// A peer throws while this rank's work waits for it, and this rank may be at its end.
TEST(BackgroundFailures, EndsAfterAPeerHasFailed) {
  for (const bool waits : {false, true}) {
    repeat([&](int size, int culprit) {
      const auto body = [&](std::unique_ptr<Group> world) {
        Background beside(world->split(0));
        if (world->rank() == culprit) throw Planned("no disk");
        const int64_t piece = beside.give([](Group& own) { own.barrier(); });
        if (waits) beside.wait(piece);
      };
      EXPECT_THROW(run_local(size, body), Planned);
    });
  }
}

}  // namespace
}  // namespace lathe

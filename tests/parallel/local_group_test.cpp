#include "parallel/local_group.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/parallel/backends.h"

namespace lathe {

std::vector<Backend> backends() {
  std::vector<Backend> all{{"solo", 1, [](const auto& body) { body(solo_group()); }}};
  for (int size : {1, 2, 3, 4, 8}) {
    all.push_back({"local" + std::to_string(size), size,
                   [size](const auto& body) { run_local(size, body); }});
  }
  return all;
}

namespace {

struct Planned : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The message of what body throws as E, "" when it throws nothing.
template <class E>
std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

// Many short lives, as what goes wrong here goes wrong rarely: size, round, the rank that is at
// fault.
void repeat(const std::function<void(int size, int culprit)>& body) {
  for (int size = 2; size <= 8; ++size) {
    for (int round = 0; round < 100; ++round) body(size, round % size);
  }
}

TEST(LocalGroup, APeerThatThrowsBeforeACollectiveIsLostToAll) {
  repeat([](int size, int culprit) {
    std::atomic<int> lost = 0;
    const auto body = [&](std::unique_ptr<Group> group) {
      if (group->rank() == culprit) throw Planned("no disk");
      at::Tensor tensor = at::ones({64});
      EXPECT_EQ(message_of<PeerLost>([&] { group->all_reduce(tensor, Reduce::kSum); }),
                "rank " + std::to_string(culprit) + " failed: no disk");
      // And it stays lost.
      EXPECT_THROW(group->barrier(), PeerLost);
      ++lost;
    };
    EXPECT_EQ(message_of<Planned>([&] { run_local(size, body); }), "no disk");
    EXPECT_EQ(lost, size - 1);
  });
}

TEST(LocalGroup, APeerThatThrowsAfterACollectiveIsLostInTheNext) {
  repeat([](int size, int culprit) {
    const auto body = [&](std::unique_ptr<Group> group) {
      at::Tensor tensor = at::ones({64});
      group->all_reduce(tensor, Reduce::kSum);
      EXPECT_EQ(tensor[63].item<float>(), size);
      if (group->rank() == culprit) throw Planned("late");
      group->barrier();
      ADD_FAILURE() << "the barrier went on without rank " << culprit;
    };
    EXPECT_EQ(message_of<Planned>([&] { run_local(size, body); }), "late");
  });
}

TEST(LocalGroup, APeerThatThrowsInsideACollectiveIsLostToAll) {
  repeat([](int size, int culprit) {
    const auto body = [&](std::unique_ptr<Group> group) {
      at::Tensor tensor = group->rank() == culprit ? at::ones({4, 4}).t() : at::ones({4, 4});
      group->all_reduce(tensor, Reduce::kSum);
    };
    EXPECT_EQ(message_of<std::invalid_argument>([&] { run_local(size, body); }),
              "all_reduce: the tensor is not contiguous");
  });
}

TEST(LocalGroup, AFailureReachesEveryGroupOfTheWorld) {
  repeat([](int size, int culprit) {
    const auto body = [&](std::unique_ptr<Group> group) {
      const std::unique_ptr<Group> half = group->split(group->rank() % 2);
      const std::unique_ptr<Group> alone = group->split(group->rank());
      if (group->rank() == culprit) throw Planned("elsewhere");
      at::Tensor tensor = at::ones({64});
      const std::string expected = "rank " + std::to_string(culprit) + " failed: elsewhere";
      const auto for_ever = [&](Group& which) {
        while (true) which.all_reduce(tensor, Reduce::kSum);
      };
      EXPECT_EQ(message_of<PeerLost>([&] { for_ever(*half); }), expected);
      EXPECT_EQ(message_of<PeerLost>([&] { for_ever(*alone); }), expected);
    };
    EXPECT_EQ(message_of<Planned>([&] { run_local(size, body); }), "elsewhere");
  });
}

TEST(LocalGroup, APeerThatLeavesEarlyIsLostToThoseWhoWait) {
  repeat([](int size, int culprit) {
    const auto body = [&](std::unique_ptr<Group> group) {
      group->barrier();
      if (group->rank() != culprit) group->barrier();
    };
    EXPECT_EQ(message_of<PeerLost>([&] { run_local(size, body); }),
              "rank " + std::to_string(culprit) + " left while its peers were in a collective");
  });
}

TEST(LocalGroup, APeerThatLeavesIsNoLossToAGroupWithoutIt) {
  repeat([](int size, int culprit) {
    run_local(size, [&](std::unique_ptr<Group> group) {
      const std::unique_ptr<Group> others = group->split(group->rank() == culprit);
      if (group->rank() == culprit) return;
      for (int i = 0; i < 10; ++i) others->barrier();
    });
  });
}

TEST(LocalGroup, MemoryOfALostPeerIsNotReadAfterwards) {
  // Rank 0 fails while the others are in a collective of their own, whose tensors they free at once
  // when told.
  repeat([](int size, int) {
    const auto body = [&](std::unique_ptr<Group> group) {
      const std::unique_ptr<Group> others = group->split(group->rank() == 0);
      if (group->rank() == 0) throw Planned("gone");
      while (true) {
        at::Tensor tensor = at::ones({3000});
        others->all_reduce(tensor, Reduce::kSum);
        EXPECT_EQ(tensor[2999].item<float>(), size - 1);
      }
    };
    EXPECT_THROW(run_local(size, body), Planned);
  });
}

TEST(LocalGroup, ThrowsWhatIsNoExceptionAsItIs) {
  EXPECT_THROW(run_local(2,
                         [](std::unique_ptr<Group> group) {
                           if (group->rank() == 1) throw 7;
                           group->barrier();
                         }),
               int);
}

TEST(LocalGroup, NeedsARank) {
  EXPECT_EQ(message_of<std::invalid_argument>([] { run_local(0, [](std::unique_ptr<Group>) {}); }),
            "parallel.ranks is 0, expected at least 1");
}

TEST(LocalGroup, AGroupMayOutliveTheThreads) {
  std::vector<std::unique_ptr<Group>> kept(3);
  run_local(3, [&](std::unique_ptr<Group> group) {
    const int rank = group->rank();
    kept[rank] = std::move(group);
  });
  EXPECT_EQ(kept[2]->rank(), 2);
  EXPECT_THROW(kept[0]->barrier(), PeerLost);
}

}  // namespace
}  // namespace lathe

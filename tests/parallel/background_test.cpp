#include "parallel/background.h"

#include <gtest/gtest.h>

#include "tests/parallel/backends.h"

namespace lathe {
namespace {

struct Planned : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class BackgroundContract : public BackendTest {};

INSTANTIATE_TEST_SUITE_P(Backends, BackgroundContract, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param.name; });

TEST_P(BackgroundContract, CarriesOutPiecesInTheirOrder) {
  run([](Group& world) {
    Background beside(world.split(0));
    at::Tensor values = at::ones({1000});
    const int n = world.size();
    const int64_t sum =
        beside.give([values](Group& own) mutable { own.all_reduce(values, Reduce::kSum); });
    const int64_t half = beside.give([values](Group&) { values.div_(2); });
    const int64_t twice =
        beside.give([values](Group& own) mutable { own.all_reduce(values, Reduce::kSum); });
    EXPECT_EQ(std::vector<int64_t>({sum, half, twice}), std::vector<int64_t>({1, 2, 3}));
    beside.wait(twice);
    beside.wait(sum);
    EXPECT_TRUE(values.equal(at::full({1000}, n * n / 2.0)));
  });
}

// Of other sizes, so that a call that met another's would be told, or give other numbers.
TEST_P(BackgroundContract, ItsCallsDoNotMeetTheRanksOwn) {
  run([](Group& world) {
    Background beside(world.split(0));
    at::Tensor other = at::ones({77});
    int64_t last = 0;
    for (int i = 0; i < 50; ++i) {
      last = beside.give([other](Group& own) mutable {
        own.all_reduce(other, Reduce::kSum);
        other.div_(own.size());
      });
      at::Tensor values = at::ones({1000});
      world.all_reduce(values, Reduce::kSum);
      EXPECT_TRUE(values.equal(at::full({1000}, world.size())));
    }
    beside.wait(last);
    EXPECT_TRUE(other.equal(at::ones({77})));
  });
}

TEST_P(BackgroundContract, WhatIsLeftIsCarriedOutAtTheEnd) {
  run([](Group& world) {
    at::Tensor values = at::ones({1000});
    {
      Background beside(world.split(0));
      beside.give([values](Group& own) mutable { own.all_reduce(values, Reduce::kSum); });
      beside.give([values](Group&) { values.add_(1); });
    }
    EXPECT_TRUE(values.equal(at::full({1000}, world.size() + 1)));
  });
}

TEST_P(BackgroundContract, WhatAPieceThrowsIsThrownWhereItIsWaitedFor) {
  run([](Group& world) {
    Background beside(world.split(0));
    bool later = false;
    const int64_t good = beside.give([](Group& own) { own.barrier(); });
    const int64_t bad = beside.give([](Group&) { throw Planned("no disk"); });
    const int64_t after = beside.give([&](Group&) { later = true; });
    beside.wait(good);
    EXPECT_THROW(beside.wait(bad), Planned);
    EXPECT_THROW(beside.wait(after), Planned);
    EXPECT_FALSE(later);
  });
}

}  // namespace
}  // namespace lathe

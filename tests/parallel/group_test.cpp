#include "parallel/group.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/parallel/backends.h"

namespace lathe {
namespace {

class GroupContract : public BackendTest {};

INSTANTIATE_TEST_SUITE_P(Backends, GroupContract, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param.name; });

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kLong};
constexpr int64_t kCounts[] = {0, 1, 7, 1000, 100003};

// Element j of rank r is j * size + r. j begins anew where the type could not hold the sum exactly.
int64_t step_of(at::ScalarType type, int64_t j) {
  return type == at::kBFloat16 ? j % 16 : type == at::kFloat ? j % 100003 : j;
}

at::Tensor make(at::ScalarType type, int64_t count, const std::function<double(int64_t)>& element) {
  at::Tensor values = at::empty({count}, at::kDouble);
  double* out = values.mutable_data_ptr<double>();
  for (int64_t j = 0; j < count; ++j) out[j] = element(j);
  return values.to(type);
}

at::Tensor input(const Group& group, at::ScalarType type, int64_t count) {
  return make(type, count,
              [&](int64_t j) { return step_of(type, j) * group.size() + group.rank(); });
}

at::Tensor sum_of_inputs(const Group& group, at::ScalarType type, int64_t count) {
  const double n = group.size();
  return make(type, count, [&](int64_t j) { return n * n * step_of(type, j) + n * (n - 1) / 2; });
}

void for_all_cases(const std::function<void(at::ScalarType, int64_t)>& body) {
  for (at::ScalarType type : kTypes) {
    for (int64_t count : kCounts) {
      SCOPED_TRACE(std::string(c10::toString(type)) + " x " + std::to_string(count));
      body(type, count);
    }
  }
}

TEST_P(GroupContract, HasTheRanksItWasAskedFor) {
  run([&](Group& group) {
    EXPECT_EQ(group.size(), GetParam().size);
    EXPECT_GE(group.rank(), 0);
    EXPECT_LT(group.rank(), group.size());
    EXPECT_EQ(group.device(), at::Device(at::kCPU));
  });
}

TEST_P(GroupContract, AllReduceSumsEveryElement) {
  run([](Group& group) {
    for_all_cases([&](at::ScalarType type, int64_t count) {
      at::Tensor tensor = input(group, type, count);
      group.all_reduce(tensor, Reduce::kSum);
      EXPECT_TRUE(tensor.equal(sum_of_inputs(group, type, count)));
    });
  });
}

TEST_P(GroupContract, AllReduceFindsTheLargestAndTheSmallest) {
  run([](Group& group) {
    for_all_cases([&](at::ScalarType type, int64_t count) {
      at::Tensor largest = input(group, type, count), smallest = largest.clone();
      group.all_reduce(largest, Reduce::kMax);
      group.all_reduce(smallest, Reduce::kMin);
      const int n = group.size();
      EXPECT_TRUE(largest.equal(
          make(type, count, [&](int64_t j) { return step_of(type, j) * n + n - 1; })));
      EXPECT_TRUE(
          smallest.equal(make(type, count, [&](int64_t j) { return step_of(type, j) * n; })));
    });
  });
}

TEST_P(GroupContract, NaNWinsWhereverItStands) {
  run([](Group& group) {
    for (int where = 0; where < group.size(); ++where) {
      for (Reduce op : {Reduce::kSum, Reduce::kMax, Reduce::kMin}) {
        at::Tensor tensor = at::ones({3});
        if (group.rank() == where) tensor[1] = std::numeric_limits<float>::quiet_NaN();
        group.all_reduce(tensor, op);
        EXPECT_TRUE(std::isnan(tensor[1].item<float>()));
        EXPECT_FALSE(std::isnan(tensor[0].item<float>()));
      }
    }
  });
}

TEST_P(GroupContract, AddsInTheOrderOfTheRanks) {
  // 1e8 + 1 - 1e8 + 1 + ...: every other order gives another float32.
  const auto value = [](int rank) { return rank == 0 ? 1e8f : rank == 2 ? -1e8f : 1.0f; };
  run([&](Group& group) {
    float expected = value(0);
    for (int rank = 1; rank < group.size(); ++rank) expected += value(rank);
    at::Tensor tensor = at::full({5000}, value(group.rank()));
    group.all_reduce(tensor, Reduce::kSum);
    EXPECT_TRUE(tensor.equal(at::full({5000}, expected)));

    at::Tensor whole = at::full({100 * group.size()}, value(group.rank())),
               slice = at::empty({100});
    group.reduce_scatter(whole, slice);
    EXPECT_TRUE(slice.equal(at::full({100}, expected)));
  });
}

TEST_P(GroupContract, HalfPrecisionIsSummedInFloat32AndRoundedOnce) {
  run([](Group& group) {
    for (at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      // At 256 (2048) neighbours are 2 apart: a sum in the type itself would never leave it.
      const double big = type == at::kBFloat16 ? 256 : 2048;
      at::Tensor tensor = at::full({33}, group.rank() == 0 ? big : 1.0, type);
      group.all_reduce(tensor, Reduce::kSum);
      EXPECT_TRUE(tensor.equal(at::full({33}, big + group.size() - 1, at::kFloat).to(type)));
    }
  });
}

TEST_P(GroupContract, WideTypesKeepTheirPrecision) {
  run([](Group& group) {
    const double small = std::ldexp(1.0, -40);
    at::Tensor doubles = at::full({3}, group.rank() == 0 ? 1.0 : small, at::kDouble);
    group.all_reduce(doubles, Reduce::kSum);
    EXPECT_EQ(doubles[2].item<double>(), 1.0 + (group.size() - 1) * small);

    at::Tensor longs = at::full({3}, (int64_t{1} << 53) + group.rank(), at::kLong);
    group.all_reduce(longs, Reduce::kSum);
    const int64_t n = group.size();
    EXPECT_EQ(longs[2].item<int64_t>(), (n << 53) + n * (n - 1) / 2);
  });
}

TEST_P(GroupContract, ReduceScatterSumsThisRanksPart) {
  run([](Group& group) {
    for_all_cases([&](at::ScalarType type, int64_t count) {
      const at::Tensor sums = sum_of_inputs(group, type, count * group.size());
      const at::Tensor expected = sums.narrow(0, group.rank() * count, count);
      const at::Tensor whole = input(group, type, count * group.size());
      at::Tensor slice = at::empty({count}, type);
      group.reduce_scatter(whole, slice);
      EXPECT_TRUE(slice.equal(expected));

      at::Tensor in_place = whole.narrow(0, group.rank() * count, count);
      group.reduce_scatter(whole, in_place);
      EXPECT_TRUE(in_place.equal(expected));
    });
  });
}

TEST_P(GroupContract, AllGatherLaysTheSlicesOneAfterAnother) {
  run([](Group& group) {
    for_all_cases([&](at::ScalarType type, int64_t count) {
      const auto element = [&](int64_t j) { return j % 128; };
      const at::Tensor expected = make(type, count * group.size(), element);
      const at::Tensor mine = expected.narrow(0, group.rank() * count, count).clone();
      at::Tensor whole = at::zeros({count * group.size()}, type);
      group.all_gather(mine, whole);
      EXPECT_TRUE(whole.equal(expected));

      at::Tensor again = at::zeros({count * group.size()}, type);
      at::Tensor in_place = again.narrow(0, group.rank() * count, count);
      in_place.copy_(mine);
      group.all_gather(in_place, again);
      EXPECT_TRUE(again.equal(expected));
    });
  });
}

TEST_P(GroupContract, BroadcastSpreadsTheValuesOfAnyRoot) {
  run([](Group& group) {
    for_all_cases([&](at::ScalarType type, int64_t count) {
      for (int root = 0; root < group.size(); ++root) {
        at::Tensor tensor = input(group, type, count);
        group.broadcast(tensor, root);
        EXPECT_TRUE(tensor.equal(
            make(type, count, [&](int64_t j) { return step_of(type, j) * group.size() + root; })));
      }
    });
  });
}

TEST_P(GroupContract, SplitsIntoGroupsOrderedByRank) {
  run([](Group& group) {
    const int color = group.rank() % 2;
    const std::unique_ptr<Group> half = group.split(color);
    EXPECT_EQ(half->size(), (group.size() + 1 - color) / 2);
    EXPECT_EQ(half->rank(), group.rank() / 2);
    at::Tensor ranks = at::zeros({half->size()}, at::kLong);
    half->all_gather(at::full({1}, group.rank(), at::kLong), ranks);
    for (int i = 0; i < half->size(); ++i) EXPECT_EQ(ranks[i].item<int64_t>(), 2 * i + color);

    // A group of a group; the first one goes on working beside it.
    const std::unique_ptr<Group> alone = half->split(half->rank());
    EXPECT_EQ(alone->size(), 1);
    at::Tensor one = at::ones({3}), all = at::ones({3});
    alone->all_reduce(one, Reduce::kSum);
    group.all_reduce(all, Reduce::kSum);
    EXPECT_EQ(one[0].item<float>(), 1);
    EXPECT_EQ(all[0].item<float>(), group.size());
    group.barrier();
  });
}

TEST_P(GroupContract, RefusesWrongArgumentsAndStaysUsable) {
  run([](Group& group) {
    const int n = group.size();
    at::Tensor undefined, strided = at::ones({4, 4}).t(), bytes = at::ones({4}, at::kByte);
    at::Tensor whole = at::ones({4 * n + 1}), slice = at::ones({4}),
               doubles = at::ones({4}, at::kDouble);
    EXPECT_THROW(group.all_reduce(undefined, Reduce::kSum), std::invalid_argument);
    EXPECT_THROW(group.all_reduce(strided, Reduce::kSum), std::invalid_argument);
    EXPECT_THROW(group.all_reduce(bytes, Reduce::kSum), std::invalid_argument);
    EXPECT_THROW(group.reduce_scatter(whole, slice), std::invalid_argument);
    EXPECT_THROW(group.all_gather(slice, whole), std::invalid_argument);
    whole = at::ones({4 * n});
    EXPECT_THROW(group.all_gather(doubles, whole), std::invalid_argument);
    const at::Tensor memory = at::ones({4 * n + 1});
    at::Tensor shifted = memory.narrow(0, 4 * group.rank() + 1, 4);
    EXPECT_THROW(group.reduce_scatter(memory.narrow(0, 0, 4 * n), shifted), std::invalid_argument);
    EXPECT_THROW(group.broadcast(slice, n), std::invalid_argument);
    EXPECT_THROW(group.broadcast(slice, -1), std::invalid_argument);
    EXPECT_THROW(group.split(-1), std::invalid_argument);
    group.all_reduce(slice, Reduce::kSum);
    EXPECT_TRUE(slice.equal(at::full({4}, float(n))));
  });
}

TEST_P(GroupContract, DifferentCallsAreAnErrorAtEveryRank) {
  run([](Group& group) {
    const int last = group.size() - 1;
    if (last == 0) return;
    at::Tensor tensor = at::ones({group.rank() == last ? 5 : 4});
    std::string message;
    try {
      group.all_reduce(tensor, Reduce::kSum);
    } catch (const std::logic_error& error) {
      message = error.what();
    }
    EXPECT_EQ(
        message,
        "ranks of one group made different calls: rank 0 all_reduce (option 0) of 4 Float, rank " +
            std::to_string(last) + " all_reduce (option 0) of 5 Float");
    group.barrier();  // the group still works
  });
}

}  // namespace
}  // namespace lathe

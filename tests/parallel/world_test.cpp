#include "parallel/world.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace lathe {
namespace {

std::string refusal(const WorldOptions& options) {
  try {
    run_world(options, [](std::unique_ptr<Group>) { ADD_FAILURE() << "the body ran"; });
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(World, RunsTheBodyOncePerRank) {
  for (const std::string backend : {"auto", "local"}) {
    for (int ranks : {1, 3}) {
      std::atomic<int> ran = 0, sum = 0;
      run_world({.backend = backend, .ranks = ranks}, [&](std::unique_ptr<Group> group) {
        EXPECT_EQ(group->size(), ranks);
        sum += group->rank();
        ++ran;
      });
      EXPECT_EQ(ran, ranks);
      EXPECT_EQ(sum, ranks * (ranks - 1) / 2);
    }
  }
}

TEST(World, SharesTheCoresAmongTheRanks) {
  const int before = at::get_num_threads();
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int ranks : {1, 2, 5}) {
    run_world({.backend = "auto", .ranks = ranks}, [&](std::unique_ptr<Group>) {
      EXPECT_EQ(at::get_num_threads(), std::max(1, cores / ranks));
    });
    EXPECT_EQ(at::get_num_threads(), before);
  }
  run_world({.backend = "auto", .ranks = 2, .threads_per_rank = 3},
            [](std::unique_ptr<Group>) { EXPECT_EQ(at::get_num_threads(), 3); });
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(World, ThrowsWhatOneRankThrew) {
  for (int ranks : {1, 4}) {
    EXPECT_THROW(run_world({.backend = "auto", .ranks = ranks},
                           [&](std::unique_ptr<Group> group) {
                             if (group->rank() == ranks - 1) throw std::domain_error("mine");
                             group->barrier();
                           }),
                 std::domain_error);
  }
}

TEST(World, RefusesWhatIsNotThere) {
  EXPECT_EQ(refusal({.backend = "gloo"}),
            "parallel.backend is \"gloo\", expected one of: auto, local, mpi, nccl");
  EXPECT_EQ(refusal({.backend = "auto", .device = "tpu"}),
            "parallel.device is \"tpu\", expected cpu or cuda");
  EXPECT_EQ(refusal({.backend = "nccl"}),
            "parallel.backend=nccl needs parallel.device=cuda, but it is cpu");
  EXPECT_EQ(refusal({.backend = "mpi", .device = "cuda"}),
            "parallel.backend=mpi needs parallel.device=cpu, but it is cuda");
  EXPECT_EQ(refusal({.backend = "auto", .ranks = 0}), "parallel.ranks is 0, expected at least 1");
  EXPECT_EQ(refusal({.backend = "auto", .ranks = 2, .device = "cuda"}),
            "parallel.backend=auto with 2 ranks works on the CPU only, but the device is cuda; "
            "start one process per GPU "
            "with mpirun and use parallel.backend=nccl");
}

TEST(World, SparesACoreWhereThreadsAreFewerThanTheRanksShare) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  EXPECT_FALSE(spares_a_core({.ranks = 1}));
  EXPECT_FALSE(spares_a_core({.ranks = 1, .threads_per_rank = cores}));
  EXPECT_EQ(spares_a_core({.ranks = 1, .threads_per_rank = 1}), cores > 1);
  EXPECT_FALSE(spares_a_core({.ranks = cores, .threads_per_rank = 1}));
  EXPECT_FALSE(spares_a_core({.ranks = cores + 1, .threads_per_rank = 1}));
}

}  // namespace
}  // namespace lathe

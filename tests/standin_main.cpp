#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "parallel/background.h"
#include "parallel/mpi_group.h"
#include "parallel/nccl_group.h"
#include "parallel/world.h"
#include "tests/parallel/backends.h"

// The suites of tests/parallel that are written over backends, through parallel/nccl_group.cpp with
// the NCCL of tests/standin, so that its code runs where there is no GPU:
//   mpirun -np 4 nccl_standin_tests [gtest flags]
//   mpirun -np 4 nccl_standin_tests fail    the second rank's third collective fails
//   mpirun -np 4 nccl_standin_tests fail_beside  the same of work beside the pass
//   mpirun -np 4 nccl_standin_tests share   all ranks have one GPU
namespace lathe {
namespace {

void run_nccl(const std::function<void(std::unique_ptr<Group>)>& body) {
  try {
    run_world({.backend = "mpi"},
              [&](std::unique_ptr<Group> world) { body(nccl_group(std::move(world), at::kCPU)); });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    mpi_abort(65);
  }
}

// Which of a few calls throws, and what: "3 lost", "3 failed", "none".
std::string first_throw(const std::function<void()>& make_call) {
  for (int call = 1; call <= 5; ++call) {
    try {
      make_call();
    } catch (const PeerLost&) {
      return std::to_string(call) + " lost";
    } catch (const std::runtime_error&) {
      return std::to_string(call) + " failed";
    }
  }
  return "none";
}

void sum(Group& group) {
  at::Tensor tensor = at::ones({1000});
  group.all_reduce(tensor, Reduce::kSum);
}

int expect_failure(bool beside_the_pass) {
  int64_t right = 0, ranks = 0;
  run_world({.backend = "mpi"}, [&](std::unique_ptr<Group> world) {
    const std::unique_ptr<Group> host = world->split(0);
    if (world->rank() == 1) setenv("STANDIN_NCCL_FAIL", "3", 1);
    const std::string expected = world->rank() == 1 ? "3 failed" : "3 lost";
    std::unique_ptr<Group> group = nccl_group(std::move(world), at::kCPU);
    std::string found;
    if (beside_the_pass) {
      Background beside(std::move(group));
      found = first_throw([&] { beside.wait(beside.give(sum)); });
    } else {
      found = first_throw([&] { sum(*group); });
    }
    if (found != expected && found != "3 lost")
      std::fprintf(stderr, "rank %d: %s\n", host->rank(), found.c_str());
    at::Tensor good = at::full({1}, found == expected || found == "3 lost" ? 1 : 0, at::kLong);
    host->all_reduce(good, Reduce::kSum);
    right = good.item<int64_t>();
    ranks = host->size();
  });
  return right == ranks ? 0 : 1;
}

// A GPU that two ranks have is refused on every rank, by name, unless NCCL is told to allow it.
int expect_refusal() {
  int wrong = 0;
  setenv("STANDIN_SAME_GPU", "1", 1);
  run_world({.backend = "mpi"}, [&](std::unique_ptr<Group> world) {
    std::string said = "accepted";
    try {
      nccl_group(world->split(0), at::kCPU);
    } catch (const std::invalid_argument& error) {
      said = error.what();
    }
    if (!said.starts_with("ranks 0 and 1 have the same GPU (uuid 0000")) ++wrong;
    const std::unique_ptr<Group> group = nccl_group(std::move(world), at::kCPU, true);
    if (first_throw([&] { sum(*group); }) != "none") ++wrong;
    if (wrong > 0) std::fprintf(stderr, "%s\n", said.c_str());
  });
  return wrong;
}

}  // namespace

std::vector<Backend> backends() {
  int size = 0;
  run_mpi([&](std::unique_ptr<Group> world) { size = world->size(); });
  return {{"standin" + std::to_string(size), size, run_nccl}};
}

}  // namespace lathe

int main(int argc, char** argv) {
  lathe::mpi_start();
  int failed = 0;
  const std::string fault = argc == 2 ? argv[1] : "";
  if (fault == "fail" || fault == "fail_beside") {
    failed = lathe::expect_failure(fault == "fail_beside");
  } else if (fault == "share") {
    failed = lathe::expect_refusal();
  } else {
    testing::InitGoogleTest(&argc, argv);
    failed = RUN_ALL_TESTS();
  }
  lathe::mpi_stop();
  return failed;
}

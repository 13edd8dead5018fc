#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "parallel/mpi_group.h"
#include "parallel/world.h"
#include "tests/parallel/backends.h"

// The suites of tests/parallel that are written over backends, with the processes of mpirun as
// ranks:
//   mpirun -np 4 parallel_mpi_tests [gtest flags]
// and the ways in which a rank may end, for which the processes' exit code is the result:
//   mpirun -np 4 parallel_mpi_tests throw | leave | leave_a_part | throw_before_mpi
namespace lathe {
namespace {

int world_size() {
  int size = 0;
  run_mpi([&](std::unique_ptr<Group> world) { size = world->size(); });
  return size;
}

void run(const std::function<void(std::unique_ptr<Group>)>& body) {
  try {
    run_world({.backend = "mpi"}, body);
  } catch (const PeerLost& lost) {
    std::fprintf(stderr, "%s\n", lost.what());
    mpi_abort(71);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    mpi_abort(65);
  }
}

void end_badly(const std::string& how) {
  run([&](std::unique_ptr<Group> world) {
    const std::unique_ptr<Group> part = world->split(0);
    world->barrier();
    if (world->rank() == 1) {
      if (how == "throw") throw std::invalid_argument("no disk");
      return;
    }
    (how == "leave_a_part" ? part : world)->barrier();
  });
}

}  // namespace

std::vector<Backend> backends() {
  const int size = world_size();
  return {{"mpi" + std::to_string(size), size, run}};
}

}  // namespace lathe

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "throw_before_mpi") lathe::mpi_abort(64);
  lathe::mpi_start(/*from_threads=*/true);
  if (argc == 2 && argv[1][0] != '-') {
    lathe::end_badly(argv[1]);
    lathe::mpi_stop();
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  lathe::mpi_stop();
  return failed;
}

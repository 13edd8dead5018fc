#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "parallel/group.h"

// The backends that a program of tests can run, so that one suite holds for them all: threads in
// the unit tests (local_group_test.cpp), the processes of mpirun in parallel_mpi_tests
// (mpi_main.cpp).
namespace lathe {

struct Backend {
  std::string name;  // letters and digits
  int size = 1;
  // Runs the body once per rank of this process.
  std::function<void(const std::function<void(std::unique_ptr<Group>)>&)> run;
};

std::vector<Backend> backends();

inline void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }

// What holds for every group, whatever carries it.
class BackendTest : public testing::TestWithParam<Backend> {
 protected:
  void run(const std::function<void(Group&)>& body) {
    GetParam().run([&](std::unique_ptr<Group> world) { body(*world); });
  }
};

}  // namespace lathe

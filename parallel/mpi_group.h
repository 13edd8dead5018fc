#pragma once

#include <memory>

#include "parallel/group.h"

// The ranks that mpirun started, one process each, on CPU tensors. Defined by mpi_group.cpp or, in
// a build without MPI, by no_mpi.cpp, where every function but mpi_stop throws
// std::invalid_argument.
namespace lathe {

// MPI_Init and MPI_Finalize, called by launch/ around everything else. The ranks must all arrive at
// mpi_stop.
void mpi_start();
void mpi_stop();
// Ends all processes of the world at once, with this exit code.
[[noreturn]] void mpi_abort(int exit_code);

std::unique_ptr<Group> mpi_world_group();
// How many ranks share this host's memory, and which of them this is.
struct HostRanks {
  int rank = 0;
  int size = 1;
};
HostRanks mpi_host_ranks();

}  // namespace lathe

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "parallel/group.h"

// The ranks that mpirun started, one process each, on CPU tensors. Defined by mpi_group.cpp or, in
// a build without MPI, by no_mpi.cpp, where what cannot be done throws std::invalid_argument.
namespace lathe {

// MPI_Init and MPI_Finalize, called by launch/ around everything else, on the main thread. While an
// exception is on its way mpi_stop does nothing: it would wait for the peers, and mpi_abort has to
// come. from_threads: groups that are not the same one shall be used from several threads at once,
// which not every library can.
void mpi_start(bool from_threads = false);
bool mpi_from_threads();
void mpi_stop();
// Ends all processes of the world at once, with this exit code. May be called at any time.
[[noreturn]] void mpi_abort(int exit_code);
// The library's name and version; "none" in a build without it.
std::string mpi_version();

// This process among those on its host, and the cores that they may use together.
struct HostRanks {
  int rank = 0;
  int size = 1;
  int cores = 1;
};
HostRanks mpi_host_ranks();

// Runs body with the world's group, and afterwards takes leave of the peers: those that still wait
// in a collective of any group with this rank throw PeerLost. Passes on what body throws; the peers
// then hear nothing until mpi_abort.
void run_mpi(const std::function<void(std::unique_ptr<Group>)>& body);

}  // namespace lathe

#include <cstdlib>
#include <stdexcept>

#include "parallel/mpi_group.h"

namespace lathe {
namespace {

[[noreturn]] void refuse() {
  throw std::invalid_argument(
      "this build has no MPI; install Open MPI (libopenmpi-dev) and build again, or use "
      "parallel.backend=local");
}

}  // namespace

void mpi_start(bool) { refuse(); }
bool mpi_from_threads() { return false; }
void mpi_stop() {}
void mpi_abort(int exit_code) { std::_Exit(exit_code); }
std::string mpi_version() { return "none"; }
HostRanks mpi_host_ranks() { refuse(); }
void run_mpi(const std::function<void(std::unique_ptr<Group>)>&) { refuse(); }

}  // namespace lathe

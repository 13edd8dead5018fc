#include <stdexcept>

#include "parallel/mpi_group.h"

namespace lathe {
namespace {

[[noreturn]] void refuse() {
  throw std::invalid_argument("MPI is not written yet; use parallel.backend=local");
}

}  // namespace

void mpi_start() { refuse(); }
void mpi_stop() {}
void mpi_abort(int) { refuse(); }
std::unique_ptr<Group> mpi_world_group() { refuse(); }
HostRanks mpi_host_ranks() { refuse(); }

}  // namespace lathe

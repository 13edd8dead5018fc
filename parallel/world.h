#pragma once

#include <functional>
#include <memory>
#include <string>

#include "parallel/group.h"
#include "parallel/rank_log.h"

// Makes the world: as many ranks as the launcher gave (MPI), or as many threads of this process as
// asked for.
namespace lathe {

struct WorldOptions {
  std::string backend =
      "auto";  // auto | local | mpi | nccl; auto is local: launch/ knows whether mpirun started us
  int ranks = 1;               // local only: threads that act as ranks
  std::string device = "cpu";  // cpu | cuda
  int threads_per_rank = 0;    // 0: cores of this host / ranks on this host
  bool may_share_gpus = false;  // nccl: NCCL was told that ranks may have one GPU together
  RankLog* log = nullptr;      // mpi, nccl: where this rank's collectives are noted, if anywhere
};

// Whether each rank of this host has a core more than it computes with. Collective under MPI.
bool spares_a_core(const WorldOptions& options);

// Runs body once per rank of this process, each with its world group: `ranks` threads for local,
// once for MPI and NCCL (mpi_start must have been called). Sets ATen's threads for each rank.
//
// local: if a body throws, its peers throw PeerLost from their next (or current) collective, and
// the first exception that is not PeerLost is thrown again here once all have ended. mpi, nccl:
// what body throws is thrown again here at once, and the caller must end the world with mpi_abort,
// as the peers wait.
void run_world(const WorldOptions& options,
               const std::function<void(std::unique_ptr<Group>)>& body);

}  // namespace lathe

#pragma once

#include <string>

#include "parallel/group.h"
#include "parallel/world.h"
#include "recipes/run_config.h"

// The ranks of a run: what the launcher started, and whether they belong together.
namespace lathe {

WorldOptions world_options(const ParallelSection& parallel, int launched);

// Whether overlaps() may come to say yes for ranks that talk over MPI.
bool may_overlap_mpi(const ParallelSection& parallel, const WorldOptions& options);

// Throws Coded where the config and what a launcher started do not go together. launched: launched_ranks().
void check_launch(const ParallelSection& parallel, int launched);

// What to do when the launcher bound this rank to fewer cores than its threads could use; "": it did not.
std::string binding_warning(int64_t threads_per_rank);

// parallel.overlap with auto decided, the same for all ranks. Collective. Says so where MPI can not be called from two threads.
bool overlaps(Group& world, const ParallelSection& parallel, const WorldOptions& options);

// MPI from the first rank to the last message; ends the whole world when this process fails, so that no peer hangs.
class MpiSession {
 public:
  // from_threads: another thread than this one may call it too, if the library lets it.
  explicit MpiSession(bool wanted, bool from_threads = false);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

 private:
  bool wanted_;
};

// What this process is: program, versions, config, as `key=value` lines.
std::string rank_identity(const std::string& config_hash);

// Collective, first of all: the launcher's number of ranks, and the same identity on every one. Throws Coded (69) on
// every rank, with what differs and what to do.
void check_ranks(Group& world, int launched, const std::string& identity);

}  // namespace lathe

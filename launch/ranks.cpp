#include "launch/ranks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <torch/version.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <sstream>

#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "parallel/mpi_group.h"
#include "recipes/run_record.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

WorldOptions world_options(const ParallelSection& parallel, int launched) {
  WorldOptions options;
  options.backend = parallel.backend != "auto" ? parallel.backend : launched > 0 ? "mpi" : "local";
  if (options.backend == "nccl") options.device = "cuda";
  const char* shared = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  options.may_share_gpus = shared && std::string(shared) == "1";
  options.ranks = static_cast<int>(parallel.ranks);
  options.threads_per_rank = static_cast<int>(parallel.threads_per_rank);
  return options;
}

void check_launch(const ParallelSection& parallel, int launched) {
  if (launched > 1 && parallel.backend == "local") {
    throw Coded(kLaunchMismatch, fmt::format("a launcher started {} processes but parallel.backend is local: each would train "
                                             "alone; use parallel.backend=auto, or start one process with parallel.ranks={}",
                                             launched, launched));
  }
  if (launched > 0 && parallel.ranks > 1) {
    throw Coded(kUsage, "parallel.ranks makes threads of one process and does not go with mpirun; leave it out");
  }
}

std::string binding_warning(int64_t threads_per_rank) {
  int ranks = 0;
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"}) {
    const char* text = std::getenv(name);
    if (ranks == 0 && text) ranks = std::atoi(text);
  }
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (ranks < 1 || sched_getaffinity(0, sizeof mine, &mine) != 0) return "";
  const int64_t cores = sysconf(_SC_NPROCESSORS_ONLN), own = CPU_COUNT(&mine);
  const int64_t wanted = threads_per_rank > 0 ? threads_per_rank : cores / ranks;
  if (own >= wanted) return "";
  return fmt::format("rank 0 is bound to {} of this host's {} cores, but its {} ranks could have {} each; start with mpirun --bind-to none, or "
                     "--map-by ppr:{}:node:PE={}",
                     own, cores, ranks, wanted, ranks, wanted);
}

bool may_overlap_mpi(const ParallelSection& parallel, const WorldOptions& options) {
  if (options.backend != "mpi" || parallel.zero < 2 || parallel.overlap == "false") return false;
  return parallel.overlap == "true" || parallel.threads_per_rank > 0;
}

bool overlaps(Group& world, const ParallelSection& parallel, const WorldOptions& options) {
  if (parallel.zero < 2 || parallel.overlap == "false") return false;
  const bool asked = parallel.overlap == "true", spare = asked || options.device == "cuda" || spares_a_core(options);
  if (any(world, !spare)) return false;
  const bool mute = options.backend == "mpi" && !mpi_from_threads();
  if (mute && world.rank() == 0 && may_overlap_mpi(parallel, options))
    fmt::print("parallel.overlap: this MPI can not be called from two threads; the passes wait for sums and weights\n");
  return !any(world, mute);
}

MpiSession::MpiSession(bool wanted, bool from_threads) : wanted_(wanted) {
  if (wanted_) mpi_start(from_threads);
}

MpiSession::~MpiSession() {
  if (wanted_) mpi_stop();
}

std::string rank_identity(const std::string& config_hash) {
  return fmt::format("program={}\nlibtorch={}\nmpi={}\nconfig={}\n", program_hash(), TORCH_VERSION, mpi_version(), config_hash);
}

void check_ranks(Group& world, int launched, const std::string& identity) {
  if (launched > 1 && world.size() != launched) {
    throw Coded(kLaunchMismatch,
                fmt::format("the launcher started {} processes, but this program's MPI ({}) sees {}: launcher and library are not "
                            "of one MPI; start with the mpirun of that library, or with srun --mpi=pmix",
                            launched, mpi_version(), world.size()));
  }
  const std::vector<std::string> identities = gather_bytes(world, identity);
  const std::vector<std::string> first = lines_of(identities[0]);
  std::set<std::string> differences;
  for (int rank = 1; rank < world.size(); ++rank) {
    const std::vector<std::string> lines = lines_of(identities[static_cast<size_t>(rank)]);
    for (size_t i = 0; i < first.size() && i < lines.size(); ++i) {
      if (lines[i] != first[i]) differences.insert(fmt::format("rank {} has {}, rank 0 {}", rank, lines[i], first[i]));
    }
  }
  if (differences.empty()) return;
  throw Coded(kLaunchMismatch, fmt::format("the ranks do not belong together: {}; give all of them the same build, config and "
                                           "overrides",
                                           fmt::join(differences, "; ")));
}

}  // namespace lathe

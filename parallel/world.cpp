#include "parallel/world.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <thread>

#include "parallel/local_group.h"
#include "parallel/logged_group.h"
#include "parallel/mpi_group.h"
#include "parallel/nccl_group.h"

namespace lathe {
namespace {

using Body = std::function<void(std::unique_ptr<Group>)>;

// Those that this process may run on.
int own_cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// cores: of all ranks on this host together. A rank that was bound to some of them has no more than
// those.
int threads_for(const WorldOptions& options, int cores, int ranks_on_host) {
  if (options.threads_per_rank > 0) return options.threads_per_rank;
  return std::clamp(cores / ranks_on_host, 1, own_cores());
}

// ATen keeps one number for the process, which a new thread takes over at its first parallel call,
// and sets OpenMP for the calling thread only. So every rank's thread says it first of all, and the
// caller's number is put back.
void run_threads(const WorldOptions& options, const Body& body) {
  const int before = at::get_num_threads();
  const struct Restore {
    int threads;
    ~Restore() { at::set_num_threads(threads); }
  } restore{before};
  const int threads = threads_for(options, own_cores(), std::max(1, options.ranks));
  const auto live = [&](std::unique_ptr<Group> group) {
    at::set_num_threads(threads);
    body(std::move(group));
  };
  if (options.device == "cuda") return live(solo_group(at::Device(at::kCUDA, 0)));
  run_local(options.ranks, live);
}

void run_process(const WorldOptions& options, const Body& body) {
  const HostRanks host = mpi_host_ranks();
  at::set_num_threads(threads_for(options, host.cores, host.size));
  run_mpi([&](std::unique_ptr<Group> world) {
    if (options.backend == "nccl")
      world = nccl_group(std::move(world),
                         at::Device(at::kCUDA, static_cast<at::DeviceIndex>(host.rank)),
                         options.may_share_gpus);
    if (options.log) world = logged(std::move(world), *options.log);
    body(std::move(world));
  });
}

}  // namespace

bool spares_a_core(const WorldOptions& options) {
  const bool threads = options.backend == "auto" || options.backend == "local";
  const HostRanks host = threads
                             ? HostRanks{.size = std::max(1, options.ranks), .cores = own_cores()}
                             : mpi_host_ranks();
  const int own = std::min(host.cores / host.size, own_cores());
  return own > threads_for(options, host.cores, host.size);
}

void run_world(const WorldOptions& options, const Body& body) {
  const std::string& backend = options.backend;
  if (options.device != "cpu" && options.device != "cuda") {
    throw std::invalid_argument(
        fmt::format("parallel.device is \"{}\", expected cpu or cuda", options.device));
  }
  if (backend == "auto" || backend == "local") {
    if (options.device == "cuda" && options.ranks != 1) {
      throw std::invalid_argument(
          fmt::format("parallel.backend={} with {} ranks works on the CPU only, but the device is "
                      "{}; start one process per GPU "
                      "with mpirun and use parallel.backend=nccl",
                      backend, options.ranks, options.device));
    }
    return run_threads(options, body);
  }
  if (backend == "mpi" || backend == "nccl") {
    const char* device = backend == "mpi" ? "cpu" : "cuda";
    if (options.device != device) {
      throw std::invalid_argument(
          fmt::format("parallel.backend={} needs parallel.device={}, but it is {}", backend, device,
                      options.device));
    }
    return run_process(options, body);
  }
  throw std::invalid_argument(
      fmt::format("parallel.backend is \"{}\", expected one of: auto, local, mpi, nccl", backend));
}

}  // namespace lathe

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "parallel/mpi_group.h"
#include "parallel/world.h"

// How long collectives of float32 take, by backend, beside the plain MPI call and a memcpy of as many bytes by all ranks at
// once, all in one run:
//   mpirun -np 2 --bind-to none bench_collectives [largest size in MiB, 256]
// Medians in microseconds. `x best`: ours over the faster of the MPI call and memcpy.
namespace lathe {
namespace {

using Step = std::function<void()>;

// The median of the slowest rank of each round.
double median_us(Group& group, int64_t bytes, const Step& step) {
  const int rounds = bytes <= (1 << 16) ? 101 : bytes <= (1 << 22) ? 21 : 7;
  std::vector<double> times;
  for (int round = 0; round < rounds + 1; ++round) {
    group.barrier();
    const auto start = std::chrono::steady_clock::now();
    step();
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    at::Tensor slowest = at::full({1}, taken.count(), at::kDouble);
    group.all_reduce(slowest, Reduce::kMax);
    if (round > 0) times.push_back(slowest.item<double>());  // the first one touches memory
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

struct Times {
  double all_reduce, reduce_scatter, all_gather, copy;
};

Times of_group(Group& group, int64_t bytes) {
  const int64_t count = bytes / 4, part = count / group.size();
  at::Tensor whole = at::ones({part * group.size()}), slice = at::ones({part}), other = at::ones_like(whole);
  return {median_us(group, bytes, [&] { group.all_reduce(whole, Reduce::kSum); }),
          median_us(group, bytes, [&] { group.reduce_scatter(whole, slice); }),
          median_us(group, bytes, [&] { group.all_gather(slice, whole); }),
          median_us(group, bytes, [&] { std::memcpy(other.mutable_data_ptr(), whole.const_data_ptr(), whole.nbytes()); })};
}

Times of_plain_mpi(Group& group, int64_t bytes) {
  const int part = static_cast<int>(bytes / 4 / group.size()), count = part * group.size();
  std::vector<float> whole(count, 1.0F), slice(part, 1.0F), out(count);
  return {median_us(group, bytes, [&] { MPI_Allreduce(MPI_IN_PLACE, whole.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }),
          median_us(group, bytes, [&] { MPI_Reduce_scatter_block(whole.data(), slice.data(), part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }),
          median_us(group, bytes, [&] { MPI_Allgather(slice.data(), part, MPI_FLOAT, out.data(), part, MPI_FLOAT, MPI_COMM_WORLD); }), 0};
}

void print_row(const char* what, int64_t bytes, double mpi, double threads, double plain, double copy) {
  const double best = std::min(plain, copy);
  fmt::print("{:14} {:>8} KiB  mpi {:10.1f} us ({:5.2f} x MPI's, {:5.2f} x best)  threads {:10.1f} us ({:5.2f} x best)  MPI's call {:10.1f}  memcpy {:10.1f}\n",
             what, bytes >> 10, mpi, mpi / plain, mpi / best, threads, threads / best, plain, copy);
  std::fflush(stdout);
}

void measure(Group& world, int64_t largest) {
  for (int64_t bytes = 1 << 10; bytes <= largest; bytes *= 4) {
    const Times ours = of_group(world, bytes), plain = of_plain_mpi(world, bytes);
    Times threads{};
    if (world.rank() == 0) {
      run_world({.backend = "local", .ranks = world.size(), .threads_per_rank = 1}, [&](std::unique_ptr<Group> group) {
        const Times mine = of_group(*group, bytes);
        if (group->rank() == 0) threads = mine;
      });
    }
    world.barrier();  // which sleeps: the cores are rank 0's
    if (world.rank() != 0) continue;
    print_row("all_reduce", bytes, ours.all_reduce, threads.all_reduce, plain.all_reduce, threads.copy);
    print_row("reduce_scatter", bytes, ours.reduce_scatter, threads.reduce_scatter, plain.reduce_scatter, threads.copy);
    print_row("all_gather", bytes, ours.all_gather, threads.all_gather, plain.all_gather, threads.copy);
  }
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  const int64_t mebibytes = argc > 1 ? std::atoll(argv[1]) : 256;
  if (mebibytes < 1) return fmt::print("usage: mpirun -np 2 bench_collectives [largest size in MiB]\n"), 64;
  lathe::mpi_start();
  lathe::run_world({.backend = "mpi"}, [&](std::unique_ptr<lathe::Group> world) { lathe::measure(*world, mebibytes << 20); });
  lathe::mpi_stop();
}

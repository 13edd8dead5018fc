// How fast one core reads a shard from the page cache (GB of u16 ids per second of processor time),
// against plain pread and H5Dread of the same bytes in the same run.
//   build/<preset>/bin/bench_shards [folder, default .] [million tokens, default 256]
// The folder's file system matters: ext4 and xfs keep large pieces in the page cache, which are mapped
// for next to nothing; tmpfs (/dev/shm) keeps single pages of 4 KiB.
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/shards/token_shard.h"

namespace {

using lathe::TokenShard;

// Processor time of this thread, the kernel's copying included: per core, whatever else runs on the
// machine.
double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(const std::function<void()>& work) {
  const double start = thread_seconds();
  work();
  return thread_seconds() - start;
}

double best_of(int times, const std::function<void()>& work) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) best = std::min(best, seconds_of(work));
  return best;
}

void plain_pread(const std::string& path, std::vector<char>& buffer) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  while (::read(fd, buffer.data(), buffer.size()) > 0) {
  }
  ::close(fd);
}

void h5dread(const std::string& path, std::vector<char>& buffer) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t dataset = H5Dopen2(file, "columns/sequence/tokens", H5P_DEFAULT),
              space = H5Dget_space(dataset);
  hsize_t total = 0;
  H5Sget_simple_extent_dims(space, &total, nullptr);
  const hsize_t slab = buffer.size() / 2;
  for (hsize_t at = 0; at < total; at += slab) {
    const hsize_t count = std::min(slab, total - at);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, nullptr, &count, nullptr);
    const hid_t memory = H5Screate_simple(1, &count, nullptr);
    H5Dread(dataset, H5T_STD_U16LE, memory, space, H5P_DEFAULT, buffer.data());
    H5Sclose(memory);
  }
  H5Sclose(space);
  H5Dclose(dataset);
  H5Fclose(file);
}

void read_rows(const TokenShard& shard, int64_t tokens, std::vector<int64_t>& row) {
  const auto length = static_cast<int64_t>(row.size());
  for (int64_t at = 0; at + length <= tokens; at += length)
    shard.read("sequence", at, at + length, row.data(), nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path =
      std::string(argc > 1 ? argv[1] : ".") + fmt::format("/bench-{}.h5", ::getpid());
  const int64_t tokens = (argc > 2 ? std::stoll(argv[2]) : 256) << 20;
  {
    lathe::ShardWriter writer(path, {"bench", "", 50257, 0});
    std::vector<int32_t> document(1 << 16);
    for (int64_t t = 0; t < tokens; t += static_cast<int64_t>(document.size())) {
      for (size_t i = 0; i < document.size(); ++i)
        document[i] = static_cast<int32_t>((t + i * 7919) % 50257);
      writer.add(document, {});
    }
    fmt::print("write, hash, fsync: {:.2f} s\n", seconds_of([&] { writer.finish(); }));
  }
  const double gigabytes = static_cast<double>(tokens) * 2 / 1e9;
  std::vector<char> piece(64 << 10), slab(2 << 20);
  std::vector<int64_t> row(2048);
  const double pread = best_of(5, [&] { plain_pread(path, piece); });
  const double hdf5 = best_of(5, [&] { h5dread(path, slab); });
  const double verify = best_of(5, [&] { TokenShard(path).verify(); });
  const double first = best_of(5, [&] { read_rows(TokenShard(path), tokens, row); });
  const TokenShard shard(path);
  shard.verify();
  const double later = best_of(5, [&] { read_rows(shard, tokens, row); });
  const double later_large = best_of(5, [&] {
    std::vector<int64_t> large(1 << 17);
    read_rows(shard, tokens, large);
  });
  const auto line = [&](const char* what, double seconds) {
    fmt::print("{:52} {:6.2f} GB/s  {:5.2f} x pread  {:5.2f} x H5Dread\n", what,
               gigabytes / seconds, pread / seconds, hdf5 / seconds);
  };
  line("plain read, 64 KiB, no hash", pread);
  line("H5Dread, 1 Mi token slabs, no hash", hdf5);
  line("(a) read + hash, first touch, raw", verify);
  line("(a) read + hash, first touch, rows of 2048 as int64", first);
  line("(b) later reads, rows of 2048 as int64", later);
  line("(b) later reads, 128 Ki tokens as int64", later_large);
  std::filesystem::remove(path);
}

// Peak memory and speed of curation as its input grows.
//   ninja bench_curate_memory && bin/bench_curate_memory FOLDER FILE.jsonl MB...
// The files' records are written again and again into FOLDER, every eighth plain word of a copy
// replaced by one of its own, so that no copy is a near duplicate of another. All signals,
// Gopher's, C4's and FineWeb's rules, MinHash, two threads; hashes are sorted 16 MB at a time and
// records read 1 MB at a time. Each size in a process of its own. FOLDER needs three times the
// size.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/curate/curate.h"
#include "tests/bench/grown_text.h"

namespace {

using namespace lathe;
namespace fs = std::filesystem;

void grow(const std::vector<std::string>& files, size_t bytes, const std::string& path) {
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  std::ofstream out(path);
  std::string copied;
  for (size_t written = 0, copy = 0; written < bytes; ++copy) {
    for (const std::string& line : lines) {
      copied.clear();
      append_copy(copied, line, copy);
      out << copied;
      if ((written += copied.size()) >= bytes) break;
    }
  }
}

void measure(const std::string& folder, int megabytes) {
  // As the program does.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  CurateOptions options;
  options.sources.resize(1);
  options.sources[0].name = "grown";
  options.sources[0].files = {folder + "/grown.jsonl"};
  options.sources[0].filters = {"gopher_repetition", "gopher_quality", "c4", "fineweb"};
  options.block_bytes = 1 << 20;
  options.dedup_bytes = 16 << 20;
  options.threads = 2;
  const auto start = std::chrono::steady_clock::now();
  const CurateResult result = curate(options, folder + "/curated");
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  const double processor =
      static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
      1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  fmt::print("{:>6} {:>10} {:>10} {:>12.0f} {:>10.1f} {:>10.1f}\n", megabytes, result.read,
             result.kept, static_cast<double>(used.ru_maxrss) / 1024, megabytes / processor,
             megabytes / wall);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> files;
  std::vector<int> sizes;
  for (int i = 2; i < argc; ++i) {
    if (fs::exists(argv[i]))
      files.push_back(argv[i]);
    else
      sizes.push_back(std::atoi(argv[i]));
  }
  if (files.empty() || sizes.empty()) {
    fmt::print(stderr, "usage: bench_curate_memory FOLDER FILE.jsonl... MB...\n");
    return 64;
  }
  const std::string folder = fmt::format("{}/bench_curate_memory.{}", argv[1], ::getpid());
  fs::create_directories(folder);
  fmt::print("    MB  documents       kept  peak MiB RSS  MB/s core  MB/s wall\n");
  for (const int size : sizes) {
    std::fflush(stdout);
    // The lines that are grown are in memory too: not in the process that is measured.
    for (const bool measures : {false, true}) {
      const pid_t child = ::fork();
      if (child == 0) {
        if (measures)
          measure(folder, size);
        else
          grow(files, static_cast<size_t>(size) * 1'000'000, folder + "/grown.jsonl");
        std::fflush(stdout);
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      if (status != 0) return 70;
    }
    fs::remove_all(folder + "/curated");
  }
  fs::remove_all(folder);
  return 0;
}

// What curation does to text, in MB/s of one core by processor time (neighbours may be busy):
// lathe's own counterpart of the stages that the reference's curate.py measures.
//   ninja bench_curate && bin/bench_curate FILE.jsonl [seconds per stage]
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <functional>

#include "data/curate/curate.h"
#include "data/curate/filter.h"
#include "data/curate/measure_block.h"

namespace {

using namespace lathe;

double processor_seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void report(const char* stage, double bytes, double seconds, double goal) {
  fmt::print("{:<44} {:8.1f} MB/s{}\n", stage, bytes / seconds / 1e6,
             goal > 0 ? fmt::format("  (goal {})", goal) : "");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_curate FILE.jsonl [seconds per stage]\n");
    return 64;
  }
  // As the program does: fresh memory is dear.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  const double budget = argc > 2 ? std::stod(argv[2]) : 1;
  std::vector<Document> documents;
  CorpusFile file(argv[1]);
  while (const auto record = file.next()) documents.push_back(document_of(*record));
  CurateOptions options;
  Resources resources;
  Measurer m(options, resources);
  Findings findings;
  std::vector<double> signals(num_signals());
  std::vector<uint64_t> bands;
  // prepare is not timed.
  const auto stage = [&](const char* name, double goal,
                         const std::function<void(const Document&)>& prepare,
                         const std::function<void(const Document&)>& work) {
    double bytes = 0, seconds = 0;
    // What takes no time at all ends by its bytes.
    while (seconds < budget && bytes < 1e8) {
      for (const Document& document : documents) {
        if (prepare) prepare(document);
        const double start = processor_seconds(CLOCK_THREAD_CPUTIME_ID);
        for (int k = 0; k < 4; ++k) work(document);
        seconds += processor_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
        bytes += 4.0 * static_cast<double>(document.text.size());
      }
    }
    report(name, bytes, seconds, goal);
  };
  const auto cut = [&](const Document& d) {
    m.split.split(d.text);
    m.simple.make(m.split);
  };
  stage("words and lines", 0, {}, [&](const Document& d) { m.split.split(d.text); });
  stage("simple text", 0, cut, [&](const Document&) { m.simple.make(m.split); });
  for (const Filter& filter : filter_table()) {
    stage(filter.name, 0, cut,
          [&](const Document& d) { filter.measure(m.measured(d, findings), signals.data()); });
  }
  for (const MinHashKind kind : {MinHashKind::k32Bit, MinHashKind::k61Bit}) {
    MinHash hash({.kind = kind});
    std::vector<uint64_t> shingles;
    const bool fast = kind == MinHashKind::k32Bit;
    stage(fast ? "fast signatures" : "compatible signatures", fast ? 0 : 60, cut,
          [&](const Document&) { hash.signature(m.simple); });
    stage(
        fast ? "fast signatures, shingles ready" : "compatible signatures, shingles ready",
        fast ? 300 : 0,
        [&](const Document& d) {
          cut(d);
          const auto found = hash.shingles(m.simple);
          shingles.assign(found.begin(), found.end());
        },
        [&](const Document&) { hash.signature_of(shingles); });
  }
  stage("all filters and fast signatures", 100, {}, [&](const Document& d) {
    cut(d);
    measure_all(m.measured(d, findings), signals.data());
    bands.clear();
    m.minhash.append_bands(m.simple, bands);
  });

  // From JSON lines to files, all passes, by the processor time of the whole process.
  options.sources.resize(1);
  options.sources[0].name = "bench";
  options.sources[0].files = {argv[1]};
  options.sources[0].filters = {"gopher_repetition", "gopher_quality", "c4", "fineweb"};
  const std::string folder =
      std::filesystem::temp_directory_path() / fmt::format("bench_curate.{}", ::getpid());
  for (const int threads : {1, 2}) {
    options.threads = threads;
    const double start = processor_seconds(CLOCK_PROCESS_CPUTIME_ID),
                 wall = processor_seconds(CLOCK_MONOTONIC);
    const CurateResult result = curate(options, folder);
    const double seconds = processor_seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    report(fmt::format("files to files, {} threads, per core", threads).c_str(),
           static_cast<double>(result.read_bytes), seconds, 60);
    report(fmt::format("files to files, {} threads, wall", threads).c_str(),
           static_cast<double>(result.read_bytes), processor_seconds(CLOCK_MONOTONIC) - wall, 0);
    std::filesystem::remove_all(folder);
  }
  return 0;
}

// What curation does to text, in MB/s of one core by processor time (neighbours may be busy):
// lathe's own counterpart of the stages that the reference's curate.py measures.
//   ninja bench_curate && bin/bench_curate FILE... [seconds per stage]
// A .txt is cut into documents of some 4 KB. In every pass each document is visited once, as in
// life: a text that is read twice in a row goes faster the second time, because the processor then
// foretells the branches. A few megabytes are enough to be forgotten again.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>

#include "data/curate/curate.h"
#include "data/curate/filter.h"
#include "data/curate/json_text.h"
#include "data/curate/measure_block.h"
#include "tests/bench/grown_text.h"

namespace {

using namespace lathe;
namespace fs = std::filesystem;

constexpr size_t kDocumentBytes = 4000, kFileBytes = 32'000'000;

double seconds_of(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double thread_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

void report(const std::string& stage, double bytes, double seconds, double goal) {
  fmt::print("{:<44} {:8.1f} MB/s{}\n", stage, bytes / seconds / 1e6,
             goal > 0 ? fmt::format("  (goal {})", goal) : "");
  std::fflush(stdout);
}

// At the first blank line behind so many bytes.
void cut_text(const std::string& text, std::vector<Document>& documents) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find("\n\n", begin + kDocumentBytes), text.size());
    documents.emplace_back().text = text.substr(begin, end - begin);
    begin = end;
  }
}

std::vector<Document> read_documents(const std::string& path) {
  std::vector<Document> documents;
  CorpusFile file(path);
  while (const auto record = file.next()) {
    Document document = document_of(*record);
    if (path.ends_with(".txt"))
      cut_text(document.text, documents);
    else
      documents.push_back(std::move(document));
  }
  return documents;
}

class Bench {
 public:
  Bench(std::vector<Document> documents, double budget)
      : documents_(std::move(documents)), budget_(budget) {
    const double start = thread_seconds();
    for (int i = 0; i < 1000; ++i) clock_price_ = (thread_seconds() - start) / (i + 1);
  }

  using Work = std::function<void(const Document&)>;
  // prepare is not timed.
  void stage(const std::string& name, double goal, const Work& prepare, const Work& work) const {
    double bytes = 0, seconds = 0;
    for (const double begin = thread_seconds(); thread_seconds() - begin < budget_;) {
      for (const Document& document : documents_) {
        if (prepare) prepare(document);
        const double start = thread_seconds();
        work(document);
        seconds += thread_seconds() - start - clock_price_;
        bytes += static_cast<double>(document.text.size());
      }
    }
    report(name, bytes, seconds, goal);
  }

 private:
  std::vector<Document> documents_;
  double budget_, clock_price_ = 0;
};

void time_stages(const Bench& bench) {
  const CurateOptions options;
  const Resources resources;
  Measurer m(options, resources);
  Findings findings;
  std::vector<double> signals(num_signals());
  std::vector<uint64_t> bands;
  const auto cut = [&](const Document& d) {
    m.split.split(d.text);
    m.simple.make(m.split);
  };
  bench.stage("words and lines", 0, {}, [&](const Document& d) { m.split.split(d.text); });
  bench.stage(
      "simple text", 0, [&](const Document& d) { m.split.split(d.text); },
      [&](const Document&) { m.simple.make(m.split); });
  for (const Filter& filter : filter_table()) {
    bench.stage(filter.name, 0, cut, [&](const Document& d) {
      filter.measure(m.measured(d, findings), signals.data());
    });
  }
  for (const MinHashKind kind : {MinHashKind::k32Bit, MinHashKind::k61Bit}) {
    MinHash hash({.kind = kind});
    std::vector<uint64_t> shingles;
    const bool fast = kind == MinHashKind::k32Bit;
    bench.stage(fast ? "fast signatures" : "compatible signatures", fast ? 0 : 60, cut,
                [&](const Document&) { hash.signature(m.simple); });
    bench.stage(
        fast ? "fast signatures, shingles ready" : "compatible signatures, shingles ready",
        fast ? 300 : 0,
        [&](const Document& d) {
          cut(d);
          const auto found = hash.shingles(m.simple);
          shingles.assign(found.begin(), found.end());
        },
        [&](const Document&) { hash.signature_of(shingles); });
  }
  bench.stage("all filters and fast signatures", 100, {}, [&](const Document& d) {
    cut(d);
    measure_all(m.measured(d, findings), signals.data());
    bands.clear();
    m.minhash.append_bands(m.simple, bands);
  });
}

void write_lines(const std::vector<Document>& documents, const std::string& path) {
  std::ofstream out(path);
  std::string lines;
  for (size_t written = 0, copy = 0; written < kFileBytes; ++copy) {
    for (const Document& document : documents) {
      std::string line = "{\"text\": ";
      append_json_string(line, document.text);
      lines.clear();
      append_copy(lines, line + ", \"lang\": \"en\"}", copy);
      out << lines;
      written += lines.size();
    }
  }
}

// From JSON lines to files, all passes, by the processor time of the whole process.
void time_files(const std::string& folder) {
  CurateOptions options;
  options.sources.resize(1);
  options.sources[0].name = "bench";
  options.sources[0].files = {folder + "/bench.jsonl"};
  options.sources[0].filters = {"gopher_repetition", "gopher_quality", "c4", "fineweb"};
  double one_thread = 0;
  for (const int threads : {1, 2}) {
    options.threads = threads;
    const double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);
    const CurateResult result = curate(options, folder + "/curated");
    const double seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
    const double passed = seconds_of(CLOCK_MONOTONIC) - wall;
    const auto bytes = static_cast<double>(result.read_bytes);
    report(fmt::format("files to files, {} threads, per core", threads), bytes, seconds, 60);
    report(fmt::format("files to files, {} threads, wall", threads), bytes, passed, 0);
    if (threads == 1) one_thread = passed;
    if (threads == 2)
      fmt::print("{} of {} kept; two threads are {:.2f} x one (goal 1.8)\n", result.kept,
                 result.read, one_thread / passed);
    fs::remove_all(folder + "/curated");
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Document> documents;
  double budget = 1, bytes = 0;
  for (int i = 1; i < argc; ++i) {
    if (!fs::exists(argv[i])) {
      budget = std::stod(argv[i]);
      continue;
    }
    for (Document& document : read_documents(argv[i])) documents.push_back(std::move(document));
  }
  if (documents.empty()) {
    fmt::print(stderr, "usage: bench_curate FILE... [seconds per stage]\n");
    return 64;
  }
  // As the program does: fresh memory is dear.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  for (const Document& document : documents) bytes += static_cast<double>(document.text.size());
  fmt::print("{} documents, {:.1f} MB\n", documents.size(), bytes / 1e6);
  const fs::path folder = fs::temp_directory_path() / fmt::format("bench_curate.{}", ::getpid());
  fs::create_directories(folder);
  write_lines(documents, folder / "bench.jsonl");
  time_stages(Bench(std::move(documents), budget));
  time_files(folder);
  fs::remove_all(folder);
  return 0;
}

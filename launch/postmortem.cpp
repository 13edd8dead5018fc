// lathe postmortem DIR: who did not arrive at which collective, from what the monitors of a run left.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/run_verb.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kFolder = "postmortem";

// Of one thread of a rank.
struct Calls {
  int64_t begun = 0, ended = 0;
  std::map<int64_t, Json> collectives;  // by number
  bool waits() const { return begun > ended; }
};

struct RankFile {
  Json rank;
  Calls own, beside;
  int64_t number() const { return rank.at("rank"); }
};

RankFile read_rank(const fs::path& path) {
  std::ifstream in(path);
  RankFile file;
  int line = 0;
  try {
    for (std::string text; std::getline(in, text);) {
      ++line;
      Json json = Json::parse(text);
      if (line == 1) {
        file.rank = std::move(json);
        for (const char* key : {"rank", "size", "run_id", "step"}) file.rank.at(key).get<int64_t>();
        file.own = {.begun = file.rank.at("begun"), .ended = file.rank.at("ended"), .collectives = {}};
        file.beside = {.begun = file.rank.at("begun_beside"), .ended = file.rank.at("ended_beside"), .collectives = {}};
        for (const char* key : {"host", "state", "phase", "verdict"}) file.rank.at(key).get<std::string>();
      } else {
        for (const char* key : {"bytes", "step"}) json.at(key).get<int64_t>();
        for (const char* key : {"name", "axis"}) json.at(key).get<std::string>();
        const int64_t number = json.at("number");
        Calls& calls = json.at("beside").get<bool>() ? file.beside : file.own;
        calls.collectives[number] = std::move(json);
      }
    }
  } catch (const Json::exception& error) {
    throw std::invalid_argument(fmt::format("{}:{}: not what a monitor writes ({}); remove it to see the others", path.string(), line, error.what()));
  }
  if (line == 0) throw std::invalid_argument(path.string() + " is empty; remove it to see the others");
  return file;
}

// The ranks of the newest failure, in order.
std::vector<RankFile> read_ranks(const std::string& folder) {
  const fs::path inner = fs::path(folder) / kFolder;
  const fs::path path = fs::is_directory(inner) ? inner : fs::path(folder);
  std::vector<RankFile> files;
  fs::path newest;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("rank-") || !name.ends_with(".jsonl")) continue;
      files.push_back(read_rank(entry.path()));
      if (newest.empty() || fs::last_write_time(entry) > fs::last_write_time(newest)) {
        newest = entry.path();
        std::swap(files.front(), files.back());
      }
    }
  }
  if (files.empty()) {
    throw std::invalid_argument(fmt::format("{} holds no rank-R.jsonl: the run did not end by a lost rank, or wrote elsewhere (each host's own disk?)",
                                            path.string()));
  }
  const Json run = files.front().rank.at("run_id");
  std::erase_if(files, [&](const RankFile& file) { return file.rank.at("run_id") != run; });
  std::sort(files.begin(), files.end(), [](const RankFile& a, const RankFile& b) { return a.number() < b.number(); });
  return files;
}

std::string describe(const Json& collective) {
  return fmt::format("{} over {}, {} bytes, step {}", collective.at("name").get<std::string>(), collective.at("axis").get<std::string>(),
                     collective.at("bytes").get<int64_t>(), collective.at("step").get<int64_t>());
}

// The last collective of a thread; "none" where there is none.
std::string last_text(const Calls& calls) {
  const auto last = calls.collectives.find(calls.begun);
  if (last == calls.collectives.end()) return "none";
  return fmt::format("no. {} {} ({})", calls.begun, calls.waits() ? "waits in" : "done:", describe(last->second));
}

void print_ranks(const std::vector<RankFile>& files) {
  fmt::print("{:>4}  {:<16} {:<8} {:<5} {:>6}  last collective\n", "rank", "host", "state", "phase", "step");
  for (const RankFile& file : files) {
    const std::string beside = file.beside.begun > 0 ? "; beside the pass " + last_text(file.beside) : "";
    fmt::print("{:>4}  {:<16} {:<8} {:<5} {:>6}  {}{}\n", file.number(), file.rank.at("host").get<std::string>(), file.rank.at("state").get<std::string>(),
               file.rank.at("phase").get<std::string>(), file.rank.at("step").get<int64_t>(), last_text(file.own), beside);
  }
}

void print_missing(const std::vector<RankFile>& files) {
  std::vector<int64_t> missing;
  for (int64_t rank = 0; rank < files.front().rank.at("size"); ++rank) {
    if (std::none_of(files.begin(), files.end(), [&](const RankFile& file) { return file.number() == rank; })) missing.push_back(rank);
  }
  if (!missing.empty()) fmt::print("nothing was left by rank {}: lost with its monitor or host, or written on its host's own disk\n", fmt::join(missing, ", "));
}

// Where somebody waits in one of the ranks' two threads: who is not there, or is there with another call. False: nobody waits.
bool print_absent(const std::vector<RankFile>& files, Calls RankFile::* thread) {
  int64_t newest = 0;
  for (const RankFile& file : files) newest = std::max(newest, (file.*thread).begun);
  const RankFile* first = nullptr;
  std::vector<int64_t> waiting, absent;
  for (const RankFile& file : files) {
    const Calls& calls = file.*thread;
    const bool there = calls.begun == newest && calls.waits();
    (there ? waiting : absent).push_back(file.number());
    if (there && !first) first = &file;
  }
  if (!first) return false;
  const std::map<int64_t, Json>& made = (first->*thread).collectives;
  const std::string call = describe(made.at(newest));
  if (!absent.empty()) {
    fmt::print("did not arrive at no. {} ({}): rank {}; rank {} waited there\n", newest, call, fmt::join(absent, ", "), fmt::join(waiting, ", "));
  } else {
    fmt::print("all were in no. {} ({})\n", newest, call);
  }
  for (const RankFile& file : files) {
    for (const auto& [number, collective] : (file.*thread).collectives) {
      const auto other = made.find(number);
      if (other == made.end() || describe(other->second) == describe(collective)) continue;
      fmt::print("no. {} is another call at rank {} ({}) than at rank {} ({})\n", number, file.number(), describe(collective), first->number(),
                 describe(other->second));
      break;
    }
  }
  return true;
}

void print_absent(const std::vector<RankFile>& files) {
  const bool own = print_absent(files, &RankFile::own), beside = print_absent(files, &RankFile::beside);
  if (!own && !beside) {
    fmt::print("no rank waited in a collective\n");
    return;
  }
  for (const RankFile& file : files) {
    if (file.rank.at("state") == "stopped" || file.rank.at("state") == "killed")
      fmt::print("rank {} was {} in phase {}\n", file.number(), file.rank.at("state").get<std::string>(), file.rank.at("phase").get<std::string>());
  }
}

}  // namespace

int postmortem_verb(int argc, char** argv) {
  std::string folder;
  Arguments arguments("postmortem", "Reads what the ranks of a run left when one was lost or hung (output_dir/postmortem), and says who did not "
                                    "arrive at which collective.");
  arguments.positional("folder", folder, "the run folder");
  if (!arguments.parse(argc, argv)) return kDone;
  std::vector<RankFile> files;
  with_code(kBadInput, [&] { files = read_ranks(folder); });
  fmt::print("{}\n\n", files.front().rank.at("verdict").get<std::string>());
  print_ranks(files);
  fmt::print("\n");
  print_missing(files);
  print_absent(files);
  return kDone;
}

}  // namespace lathe

#include "launch/postmortem_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kNanoseconds = 1e-9;

// The last ones of a thread up to number `begun`.
void write_collectives(std::ostream& out, const CollectiveLog& log, int64_t begun, bool beside) {
  const int64_t now = steady_now();
  for (int64_t number = std::max<int64_t>(1, begun - CollectiveLog::kRecords + 1); number <= begun; ++number) {
    const CollectiveRecord& record = log.record(number);
    out << Json{{"number", record.number},
                {"beside", beside},
                {"name", record.name},
                {"axis", record.axis},
                {"bytes", record.bytes},
                {"step", record.step},
                {"phase", kPhaseNames[static_cast<size_t>(record.phase)]},
                {"seconds_ago", static_cast<double>(now - record.begin) * kNanoseconds},
                {"seconds", record.end > 0 ? Json(static_cast<double>(record.end - record.begin) * kNanoseconds) : Json()}}
        << '\n';
  }
}

}  // namespace

void write_postmortem(const WatchPage& page, const Beat& last, const std::string& verdict) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(page.output_dir) / kPostmortemFolder;
  const fs::path path = folder / fmt::format("rank-{}.jsonl", last.rank);
  const fs::path temporary = path.string() + ".tmp";
  std::error_code error;
  fs::create_directories(folder, error);
  std::ofstream out(temporary);
  out << Json{{"rank", last.rank},
              {"size", page.size},
              {"host", last.host},
              {"pid", last.pid},
              {"run_id", page.run_id},
              {"state", kRankStateNames[static_cast<size_t>(last.state)]},
              {"code", last.code},
              {"phase", kPhaseNames[static_cast<size_t>(last.phase)]},
              {"step", last.step},
              {"begun", last.own.begun},
              {"ended", last.own.ended},
              {"begun_beside", last.beside.begun},
              {"ended_beside", last.beside.ended},
              {"idle_seconds", static_cast<double>(last.idle) * kNanoseconds},
              {"verdict", verdict}}
      << '\n';
  write_collectives(out, page.log.own, last.own.begun, false);
  write_collectives(out, page.log.beside, last.beside.begun, true);
  out.close();
  if (out) fs::rename(temporary, path, error);
}

}  // namespace lathe

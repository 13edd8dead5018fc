#include "launch/postmortem_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace lathe {
namespace {

constexpr double kNanoseconds = 1e-9;

}  // namespace

void write_postmortem(const WatchPage& page, const Beat& last, const std::string& verdict) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(page.output_dir) / kPostmortemFolder;
  const fs::path path = folder / fmt::format("rank-{}.jsonl", last.rank);
  const fs::path temporary = path.string() + ".tmp";
  std::error_code error;
  fs::create_directories(folder, error);
  const int64_t now = steady_now();
  using Json = nlohmann::ordered_json;
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
              {"begun", last.begun},
              {"ended", last.ended},
              {"idle_seconds", static_cast<double>(last.idle) * kNanoseconds},
              {"verdict", verdict}}
      << '\n';
  for (int64_t number = std::max<int64_t>(1, last.begun - RankLog::kRecords + 1); number <= last.begun; ++number) {
    const CollectiveRecord& record = page.log.record(number);
    out << Json{{"number", record.number},
                {"name", record.name},
                {"axis", record.axis},
                {"bytes", record.bytes},
                {"step", record.step},
                {"phase", kPhaseNames[static_cast<size_t>(record.phase)]},
                {"seconds_ago", static_cast<double>(now - record.begin) * kNanoseconds},
                {"seconds", record.end > 0 ? Json(static_cast<double>(record.end - record.begin) * kNanoseconds) : Json()}}
        << '\n';
  }
  out.close();
  if (out) fs::rename(temporary, path, error);
}

}  // namespace lathe

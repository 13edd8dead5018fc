#include "recipes/prepare_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace lathe {
namespace {

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace

std::string PrepareRate::text() const {
  return fmt::format("{:3.0f} %  {} records  {:.0f} records/s  {:.1f} MB/s  eta {}", 100 * share, records, records_per_second,
                     bytes_per_second / 1e6, duration(seconds_left));
}

PrepareRate PrepareClock::at(int64_t bytes_done, int64_t bytes_total, int64_t records) {
  const auto now = std::chrono::steady_clock::now();
  if (first_bytes_ < 0) {
    start_ = now;
    first_bytes_ = bytes_done;
    first_records_ = records;
  }
  PrepareRate rate{.seconds = std::chrono::duration<double>(now - start_).count()};
  const double seconds = std::max(rate.seconds, 1e-3);
  rate.records = records;
  rate.share = bytes_total == 0 ? 1 : static_cast<double>(bytes_done) / static_cast<double>(bytes_total);
  rate.records_per_second = static_cast<double>(records - first_records_) / seconds;
  rate.bytes_per_second = static_cast<double>(bytes_done - first_bytes_) / seconds;
  if (rate.bytes_per_second > 0) rate.seconds_left = static_cast<double>(bytes_total - bytes_done) / rate.bytes_per_second;
  return rate;
}

std::vector<std::string> report_lines(const std::string& path, const PrepareReport& report) {
  const auto if_any = [](int64_t count, const char* what) { return count == 0 ? "" : fmt::format(", {} {}", count, what); };
  std::vector<std::string> lines{
      fmt::format("prepared {}: {} records read, {} kept, {} cut{}{}, {} empty, {} without a target; {} tokens, {} trained", path,
                  report.read, report.kept, report.cut, if_any(report.too_long, "dropped as too long"),
                  if_any(report.bad, "bad and skipped"), report.empty, report.all_masked, report.tokens, report.targets)};
  // "file:8, 10, 11" where one file has them all.
  std::string cut, before;
  for (const std::string& place : report.first_cut) {
    const size_t colon = place.rfind(':');
    const std::string file = place.substr(0, colon);
    cut += (cut.empty() ? "" : ", ") + (file == before ? place.substr(colon + 1) : place);
    before = file;
  }
  if (!cut.empty()) lines.push_back("  cut, first: " + cut);
  for (const std::string& dropped : report.first_dropped) lines.push_back("  dropped " + dropped);
  return lines;
}

}  // namespace lathe

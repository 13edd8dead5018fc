#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "data/prepare.h"

// What people are told about prepare.
namespace lathe {

// How fast it goes, from its start on (a run that was taken up counts from there).
struct PrepareRate {
  double seconds = 0, share = 0;  // of all bytes
  double records_per_second = 0, bytes_per_second = 0, seconds_left = 0;
  int64_t records = 0;

  std::string text() const;  // "42 %  3150 records  1050 records/s  0.6 MB/s  eta 7s"
};

class PrepareClock {
 public:
  PrepareRate at(int64_t bytes_done, int64_t bytes_total, int64_t records);

 private:
  std::chrono::steady_clock::time_point start_{};
  int64_t first_bytes_ = -1, first_records_ = 0;
};

// What was kept, cut and dropped, with the first places.
std::vector<std::string> report_lines(const std::string& path, const PrepareReport& report);

}  // namespace lathe

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

// metrics.jsonl of a run folder, read back.
namespace lathe {

struct LoggedRow {
  int64_t step = 0;
  std::map<std::string, double> values;  // null, which stands for a number that is not finite: NaN
};

// Every fault is std::invalid_argument that begins with file:line.
std::vector<LoggedRow> read_metrics_log(const std::string& path);

struct Curve {
  std::vector<double> steps, values;
};

// What was logged under one name, in order.
Curve curve_of(const std::vector<LoggedRow>& rows, const std::string& name);

}  // namespace lathe

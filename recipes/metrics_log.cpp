#include "recipes/metrics_log.h"

#include <filesystem>
#include <limits>
#include <stdexcept>

#include "trainer/json_fields.h"
#include "trainer/text_lines.h"

namespace lathe {
namespace {

LoggedRow parse_row(std::string_view line) {
  const Json object = Json::parse(line);
  if (!object.is_object()) {
    throw std::invalid_argument("found " + shown(object) + ", expected an object with a step");
  }
  const auto step = object.find("step");
  if (step == object.end() || !step->is_number_integer() || step->get<int64_t>() < 0) {
    throw std::invalid_argument("step: found " + (step == object.end() ? "nothing" : shown(*step)) +
                                ", expected a whole number of at least 0");
  }
  LoggedRow row{.step = step->get<int64_t>(), .values = {}};
  for (const auto& [name, value] : object.items()) {
    if (name == "step") continue;
    if (!value.is_number() && !value.is_null()) {
      throw std::invalid_argument(name + ": found " + shown(value) + ", expected a number or null");
    }
    row.values[name] =
        value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
  }
  return row;
}

}  // namespace

std::vector<LoggedRow> read_metrics_log(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    throw std::invalid_argument(path + " is not there; expected the metrics of a run folder");
  }
  std::vector<LoggedRow> rows;
  for_each_line(path, [&](std::string_view line) { rows.push_back(parse_row(line)); });
  return rows;
}

Curve curve_of(const std::vector<LoggedRow>& rows, const std::string& name) {
  Curve curve;
  for (const LoggedRow& row : rows) {
    const auto found = row.values.find(name);
    if (found == row.values.end()) continue;
    curve.steps.push_back(static_cast<double>(row.step));
    curve.values.push_back(found->second);
  }
  return curve;
}

}  // namespace lathe

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/prepare.h"

namespace lathe {
namespace {

using nlohmann::json;

struct Count {
  const char* name;
  int64_t PrepareReport::*member;
};
constexpr Count kCounts[] = {
    {"read", &PrepareReport::read},         {"kept", &PrepareReport::kept},
    {"cut", &PrepareReport::cut},           {"bad", &PrepareReport::bad},
    {"too_long", &PrepareReport::too_long}, {"all_masked", &PrepareReport::all_masked},
    {"empty", &PrepareReport::empty},       {"documents", &PrepareReport::documents},
    {"tokens", &PrepareReport::tokens},     {"targets", &PrepareReport::targets}};

}  // namespace

std::string report_text(const PrepareReport& report) {
  json object = {{"shape_reason", report.shape_reason},
                 {"first_cut", report.first_cut},
                 {"first_dropped", report.first_dropped}};
  for (const Count& count : kCounts) object[count.name] = report.*count.member;
  return object.dump();
}

PrepareReport parse_report(const std::string& text) try {
  const json object = json::parse(text);
  PrepareReport report;
  for (const Count& count : kCounts) report.*count.member = object.at(count.name).get<int64_t>();
  report.shape_reason = object.at("shape_reason");
  report.first_cut = object.at("first_cut");
  report.first_dropped = object.at("first_dropped");
  return report;
} catch (const json::exception& error) {
  throw std::runtime_error(fmt::format("a report of prepare: {}", error.what()));
}

}  // namespace lathe

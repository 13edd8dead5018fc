#include "data/curate/quality_report.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {
namespace {

using nlohmann::ordered_json;

ordered_json number(double value) {
  return std::isnan(value) ? ordered_json() : ordered_json(value);
}

double number_of(const ordered_json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

ordered_json object_of(const QualityReport& report) {
  ordered_json object = {{"trained_positives", report.trained_positives},
                         {"trained_negatives", report.trained_negatives},
                         {"held_out_positives", report.held_out_positives},
                         {"held_out_negatives", report.held_out_negatives},
                         {"thresholds", ordered_json::array()}};
  for (const QualityReport::Row& row : report.rows)
    object["thresholds"].push_back({{"threshold", row.threshold},
                                    {"precision", number(row.precision)},
                                    {"recall", number(row.recall)},
                                    {"f1", number(row.f1)}});
  return object;
}

std::string hash_of_file(const std::string& path) {
  const ReadFile file(path);
  return hex16(file.hash(0, file.bytes()));
}

// Nothing where it is not there or is no such report.
std::optional<ordered_json> read_object(const std::string& folder) try {
  std::ifstream in(quality_report_path(folder), std::ios::binary);
  if (!in) return std::nullopt;
  return ordered_json::parse(in);
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

std::optional<QualityReport> report_of(const ordered_json& object) try {
  QualityReport report{.trained_positives = object.at("trained_positives"),
                       .trained_negatives = object.at("trained_negatives"),
                       .held_out_positives = object.at("held_out_positives"),
                       .held_out_negatives = object.at("held_out_negatives"),
                       .rows = {}};
  for (const auto& row : object.at("thresholds"))
    report.rows.push_back({row.at("threshold"), number_of(row.at("precision")),
                           number_of(row.at("recall")), number_of(row.at("f1"))});
  return report;
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

}  // namespace

std::string quality_report_path(const std::string& folder) { return folder + "/report.json"; }

void write_quality_report(const std::string& folder, const std::string& key,
                          const QualityReport& report) {
  ordered_json object = object_of(report);
  object["key"] = key;
  object["model"] = hash_of_file(folder + "/model.bin");
  const std::string path = quality_report_path(folder), temporary = temporary_name(path);
  write_file(temporary, object.dump(1) + "\n");
  publish(temporary, path);
}

std::optional<QualityReport> find_quality_report(const std::string& folder,
                                                 const std::string& key) {
  const std::string model = folder + "/model.bin";
  const auto object = read_object(folder);
  if (!object || !std::filesystem::exists(model)) return std::nullopt;
  if (object->value("key", "") != key || object->value("model", "") != hash_of_file(model))
    return std::nullopt;
  return report_of(*object);
}

std::optional<QualityReport> read_quality_report(const std::string& folder) {
  const auto object = read_object(folder);
  return object ? report_of(*object) : std::nullopt;
}

std::string quality_json(const QualityReport& report) { return object_of(report).dump(); }

std::string quality_table(const QualityReport& report) {
  std::string text = fmt::format(
      "quality classifier: trained on {} positive and {} negative examples, {} and {} held out\n",
      report.trained_positives, report.trained_negatives, report.held_out_positives,
      report.held_out_negatives);
  if (report.rows.empty()) return text;
  text += "  threshold  precision   recall       f1\n";
  for (const QualityReport::Row& row : report.rows)
    text += fmt::format("  {:>9.2f}  {:>9.3f}  {:>7.3f}  {:>7.3f}\n", row.threshold, row.precision,
                        row.recall, row.f1);
  return text;
}

}  // namespace lathe

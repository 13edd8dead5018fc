#pragma once

#include <optional>
#include <string>

#include "data/curate/quality_classifier.h"

// folder/report.json beside the classifier that it is of.
namespace lathe {

std::string quality_report_path(const std::string& folder);
void write_quality_report(const std::string& folder, const std::string& key,
                          const QualityReport& report);
// The report of a model.bin that is whole and was trained under the key.
std::optional<QualityReport> find_quality_report(const std::string& folder, const std::string& key);

}  // namespace lathe

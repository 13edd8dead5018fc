#include "data/curate/curated_report.h"

#include <filesystem>

namespace lathe {

std::string curated_report(const std::vector<std::string>& files) {
  namespace fs = std::filesystem;
  std::string report;
  for (const std::string& file : files) {
    const fs::path kept = fs::path(file).parent_path().parent_path();
    const fs::path folder = kept.parent_path();
    if (kept.filename() != "kept" || !fs::exists(folder / "report.json")) return "";
    const std::string found = (folder / "report.html").string();
    if (!report.empty() && report != found) return "";
    report = found;
  }
  return report;
}

}  // namespace lathe

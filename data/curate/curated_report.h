#pragma once

#include <string>
#include <vector>

namespace lathe {

// Where files are what one curation kept, folder/kept/<source>/<file>: its folder/report.html.
// Empty where they are not.
std::string curated_report(const std::vector<std::string>& files);

}  // namespace lathe

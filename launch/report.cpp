// lathe report RUN... [--output FILE]: what runs came to, beside one another.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "recipes/report.h"

namespace lathe {

int report_verb(int argc, char** argv) {
  std::vector<std::string> folders;
  std::string output;
  Arguments arguments("report",
                      "Compares runs: their results and the settings in which they differ.");
  arguments.positionals("runs", folders, "run folders");
  arguments.option("--output", output,
                   "an HTML page with the same table and the curves over one another");
  if (!arguments.parse(argc, argv)) return kDone;
  if (folders.empty()) throw UsageError("report: give one run folder or more");
  std::vector<RunView> runs;
  for (const std::string& folder : folders) runs.push_back(read_run_view(folder));
  fmt::print("{}", comparison_text(runs));
  if (output.empty()) return kDone;
  std::ofstream out(output, std::ios::binary);
  out << report_html(runs);
  if (!out.flush()) throw std::runtime_error("can not write " + output);
  return kDone;
}

}  // namespace lathe

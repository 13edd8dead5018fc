// lathe curate CONFIG.yaml [key=value ...]
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>

#include "data/curate/curate.h"
#include "data/curate/decide.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "recipes/curate_config.h"

namespace lathe {
namespace {

// A line that moves on a terminal, else one every few seconds.
class CurateBar {
 public:
  void operator()(const char* pass, int64_t done, int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    const double since = std::chrono::duration<double>(now - shown_).count();
    if (since < (terminal_ ? 0.1 : 5) && done < total) return;
    if (!terminal_ && since < 5) return;
    shown_ = now;
    const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
    fmt::print(stderr, "{}{} {:3.0f} %{}", terminal_ ? "\r" : "", pass, 100 * share,
               terminal_ ? "   " : "\n");
    if (terminal_ && done >= total) fmt::print(stderr, "\n");
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

// What is wrong here is wrong with the config, not with the data.
CurateOptions read_options(const ConfigSource& source, CurateConfig& config) try {
  const ResolvedConfig resolved = read_config(source, config);
  CurateOptions options = curate_options(config, resolved);
  const Rules checked(options);
  return options;
} catch (const std::invalid_argument& fault) {
  throw UsageError(fault.what());
}

}  // namespace

int curate_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments(
      "curate", "Turns raw files into kept records, with a reason for every one that is not kept.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  arguments.footer("\nkeys\n" + config_help<CurateConfig>() +
                   "\nfilters, their rules and signals\n" + curate_filters_text());
  if (!arguments.parse(argc, argv)) return kDone;
  CurateConfig config;
  const CurateOptions options = read_options({config_path, overrides}, config);
  const auto start = std::chrono::steady_clock::now();
  const CurateResult result = curate(options, config.output_dir, CurateBar());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} documents read, {} kept, {} dropped{}\n", result.read, result.kept, result.dropped,
             result.was_there ? " (was made before)" : fmt::format(" in {:.1f} s", seconds));
  for (const auto& [rule, count] : result.dropped_by) fmt::print("  {:>8}  {}\n", count, rule);
  fmt::print(
      "kept records: {0}/kept/<source>; dropped, with reasons: {0}/excluded/<source>; report: "
      "{0}/report.html\n",
      config.output_dir);
  return kDone;
}

}  // namespace lathe

// lathe curate CONFIG.yaml [key=value ...]
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>

#include "data/curate/check_options.h"
#include "data/curate/curate_ranks.h"
#include "data/curate/decide.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/launched.h"
#include "launch/ranks.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "parallel/mpi_group.h"
#include "recipes/curate_config.h"
#include "recipes/text_likelihood.h"
#include "trainer/agree.h"
#include "trainer/hf_folder.h"

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
  const LikelihoodConfig& likelihood = config.likelihood;
  if (!likelihood.model_name_or_path.empty())
    options.likelihood =
        text_likelihood(resolve_model_folder(likelihood.model_name_or_path, user_hub_folder()),
                        likelihood.dtype, likelihood.max_length);
  check_curate_options(options);
  return options;
} catch (const std::invalid_argument& fault) {
  throw UsageError(fault.what());
}

// Every rank that mpirun started; one alone without it.
CurateResult curate_with_all(CurateOptions options, const CurateConfig& config, int launched) {
  const std::string& folder = config.output_dir;
  if (launched <= 1) return curate(options, folder, CurateBar());
  const MpiSession mpi(true);
  CurateResult result;
  WorldOptions world_of_ranks;
  world_of_ranks.backend = "mpi";
  run_world(world_of_ranks, [&](std::unique_ptr<Group> group) {
    check_ranks(*group, launched, rank_identity(""));
    // The ranks of a host share its cores.
    if (config.threads == 0) options.threads = at::get_num_threads();
    const CurateRanks ranks{.rank = group->rank(),
                            .size = group->size(),
                            .together = [&](const auto& part) { together(*group, part); }};
    result =
        curate_together(options, folder, ranks, ranks.rank == 0 ? CurateBar() : CurateProgress());
  });
  return result;
}

void print_result(const CurateResult& result, const std::string& folder, double seconds, bool trained) {
  fmt::print("{} documents read, {} kept, {} dropped{}\n", result.read, result.kept, result.dropped,
             result.was_there ? " (was made before)" : fmt::format(" in {:.1f} s", seconds));
  if (const auto quality = read_quality_report(folder + "/quality"); trained && quality)
    fmt::print("{}", quality_table(*quality));
  for (const auto& [rule, count] : result.dropped_by) fmt::print("  {:>8}  {}\n", count, rule);
  fmt::print(
      "kept records: {0}/kept/<source>; dropped, with reasons: {0}/excluded/<source>; report: "
      "{0}/report.html\n",
      folder);
}

}  // namespace

int curate_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments(
      "curate", "Turns raw files into kept records, with a reason for every one that is not kept.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  arguments.footer(
      "\nmpirun -np 4 lathe curate CONFIG shares the work over processes that see one "
      "folder.\n\nkeys\n" +
      config_help<CurateConfig>() + "\nfilters, their rules and signals\n" + curate_filters_text());
  if (!arguments.parse(argc, argv)) return kDone;
  int rank = 0;
  const int launched = launched_ranks(&rank);
  try {
    CurateConfig config;
    const CurateOptions options = read_options({config_path, overrides}, config);
    const auto start = std::chrono::steady_clock::now();
    const CurateResult result = curate_with_all(options, config, launched);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (rank == 0) print_result(result, config.output_dir, seconds, options.quality_classifier.trains());
    return kDone;
  } catch (...) {
    if (launched <= 1) throw;
    const Fatal fatal = explain(std::current_exception());
    print_fatal(fatal, rank);
    mpi_abort(fatal.code);
    return fatal.code;
  }
}

}  // namespace lathe

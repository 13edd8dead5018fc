// lathe train CONFIG.yaml [key=value ...]
#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <sstream>

#include "data/shards/hash.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "launch/ranks.h"
#include "launch/restarts.h"
#include "launch/run_files.h"
#include "launch/run_folder.h"
#include "launch/run_recipe.h"
#include "launch/run_verb.h"
#include "launch/signals.h"
#include "launch/watch.h"
#include "parallel/mpi_group.h"
#include "recipes/recipe.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

int train(const RunRequest& request, bool is_first_rank, int launched, WatchPage* watch, const std::atomic<bool>& stop_requested) {
  WorldOptions options = world_options(request.config.parallel, launched);
  if (watch) {
    configure_watch(*watch, request.config.parallel, request.config.output_dir);
    options.log = &watch->log;
  }
  const MpiSession mpi(options.backend != "local", may_overlap_mpi(request.config.parallel, options));
  std::optional<RunFolder> folder;
  if (is_first_rank) {
    folder.emplace(request.config.output_dir);
    for (const std::string& note : request.resolved.notes) fmt::print("{}\n", note);
    fmt::print("{}\n", request.resolved.dump);
    if (const std::string warning = binding_warning(request.config.parallel.threads_per_rank); !warning.empty()) fmt::print("{}\n", warning);
    std::fflush(stdout);
    folder->write("config.yaml", request.resolved.dump);
  }
  const Recipe& recipe = find_recipe(request.config.recipe);
  const std::string identity = rank_identity(hex16(hash_bytes(request.fingerprint)));
  std::atomic<int> code = kDone;
  try {
    run_world(options, [&](std::unique_ptr<Group> world) {
      check_ranks(*world, launched, identity);
      if (watch) link_watch(*watch, *world);
      RunConfig config = request.config;
      config.parallel.overlap = overlaps(*world, config.parallel, options) ? "true" : "false";
      const int result = recipe.run({.config = std::move(config),
                                     .world = std::move(world),
                                     .fingerprint = request.fingerprint,
                                     .cache_dir = user_cache_dir(),
                                     .stop_requested = stop_requested,
                                     .log = options.log});
      code = result;
    });
  } catch (const Stopped& stopped) {
    if (is_first_rank) fmt::print("{}; start again to continue\n", stopped.what());
    return kStopped;
  }
  return code;
}

}  // namespace

int train_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  bool keys = false;
  Arguments arguments("train", "Trains a model as a config says.");
  arguments.positional("config", config_path, "the YAML file; lathe ls lists golden ones", false);
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  int64_t max_restarts = 0;
  std::string launcher;
  arguments.option("--max-restarts", max_restarts,
                   "start again, up to N times, from the newest checkpoint when the run was lost (71) or crashed; ends after 3 starts without "
                   "a newer checkpoint");
  arguments.option("--launcher", launcher, "with --max-restarts: what starts the ranks, in place of mpirun in front: \"mpirun -np 4\"");
  arguments.flag("--keys", keys, "list every config key with its default, then end");
  arguments.footer("\n" + config_help<RunConfig>());
  if (!arguments.parse(argc, argv)) return kDone;
  if (keys) {
    fmt::print("{}", config_help<RunConfig>());
    return kDone;
  }
  file_or_override(config_path, overrides);
  if (max_restarts < 0) throw UsageError("--max-restarts is below 0");
  if (max_restarts == 0 && !launcher.empty()) throw UsageError("--launcher goes with --max-restarts N");
  if (max_restarts == 0) return run_recipe(config_path, overrides);
  if (launched_ranks() > 0) {
    throw UsageError("under mpirun a rank can not start the others again; say lathe train --max-restarts N --launcher \"mpirun -np ...\" instead");
  }
  RestartOptions options{.max_restarts = max_restarts, .command = {}, .output_dir = read_run(config_path, overrides).config.output_dir};
  std::istringstream words(launcher);
  for (std::string word; words >> word;) options.command.push_back(word);
  options.command.push_back(std::filesystem::read_symlink("/proc/self/exe"));
  options.command.push_back("train");
  if (!config_path.empty()) options.command.push_back(config_path);
  options.command.insert(options.command.end(), overrides.begin(), overrides.end());
  return run_with_restarts(options);
}

int run_recipe(const std::string& config_path, const std::vector<std::string>& overrides) {
  WatchPage* const watch = watch_page();
  const std::atomic<bool>& stop_requested = stop_on_signals(watch ? &watch->signalled : nullptr);
  int rank = 0;
  const int launched = launched_ranks(&rank);
  try {
    const RunRequest request = read_run(config_path, overrides);
    check_launch(request.config.parallel, launched);
    return train(request, rank == 0, launched, watch, stop_requested);
  } catch (...) {
    const Fatal fatal = explain(std::current_exception());
    print_fatal(fatal, rank);
    if (launched > 1) mpi_abort(fatal.code);
    return fatal.code;
  }
}

int recipe_verb(const std::string& recipe, const std::string& about, int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments(recipe, about);
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  if (!arguments.parse(argc, argv)) return kDone;
  overrides.insert(overrides.begin(), "recipe=" + recipe);
  return run_recipe(config_path, overrides);
}

}  // namespace lathe

// lathe prepare CONFIG.yaml [key=value ...] [--output DIR]
#include <fmt/core.h>

#include <unistd.h>

#include <filesystem>

#include "data/prepare.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "recipes/parts.h"

namespace lathe {
namespace {

void show_progress(int64_t done, int64_t total, int64_t records) {
  fmt::print(stderr, "\r  {:3} %  {} records", total == 0 ? 100 : 100 * done / total, records);
}

void prepare_source(const RunConfig& config, const DataSource& source, const Tokenizer& tokenizer, const std::string& folder) {
  if (std::filesystem::exists(folder + "/dataset.json")) {
    fmt::print("{}: already prepared in {}\n", source.path, folder);
    return;
  }
  const bool terminal = isatty(STDERR_FILENO);
  const PrepareReport report = prepare(prepare_options(config, source), tokenizer, folder,
                                       terminal ? PrepareProgress(show_progress) : PrepareProgress());
  if (terminal) fmt::print(stderr, "\n");
  fmt::print("{} -> {}\n  {}\n  records: {} read, {} kept ({} cut), {} empty, {} without a target\n  tokens: {}, {} trained\n",
             source.path, folder, report.shape_reason, report.read, report.kept, report.cut, report.empty, report.all_masked,
             report.tokens, report.targets);
  for (const std::string& dropped : report.first_dropped) fmt::print("  dropped {}\n", dropped);
}

}  // namespace

int prepare_verb(int argc, char** argv) {
  std::string config_path, output;
  std::vector<std::string> overrides;
  Arguments arguments("prepare", "Turns the raw files of data.train and data.eval into token shards.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  arguments.option("--output", output, "folder for the shards (train/ and eval/ in it); default: the cache that train reads");
  if (!arguments.parse(argc, argv)) return kDone;
  const RunConfig config = read_run(config_path, overrides).config;
  const Tokenizer tokenizer(tokenizer_folder(config.model));
  const auto prepare_all = [&](const std::vector<DataSource>& sources, const std::string& split) {
    for (size_t i = 0; i < sources.size(); ++i) {
      const std::string folder =
          output.empty() ? dataset_cache_folder(config, sources[i], tokenizer, user_cache_dir())
                         : fmt::format("{}/{}{}", output, split, sources.size() > 1 ? fmt::format("-{}", i) : "");
      prepare_source(config, sources[i], tokenizer, folder);
    }
  };
  prepare_all(config.data.train, "train");
  prepare_all(config.data.eval, "eval");
  return kDone;
}

}  // namespace lathe

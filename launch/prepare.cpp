// lathe prepare CONFIG.yaml [key=value ...] [--output DIR]
#include <fmt/core.h>

#include <unistd.h>

#include <filesystem>

#include "data/prepare.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "launch/signals.h"
#include "recipes/parts.h"
#include "recipes/prepare_text.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

// A bar on a terminal, else a line every few seconds.
class ProgressBar {
 public:
  explicit ProgressBar(const std::atomic<bool>& stop) : stop_(stop), terminal_(isatty(STDERR_FILENO) != 0) {}

  void operator()(int64_t done, int64_t total, int64_t records) {
    if (stop_ && done < total) throw Stopped("stopped while preparing");
    const PrepareRate rate = clock_.at(done, total, records);
    if (rate.seconds < shown_ + (terminal_ ? 0.1 : 5) && done < total) return;
    if (!terminal_ && rate.seconds < 5) return;
    shown_ = rate.seconds;
    const auto filled = static_cast<size_t>(kWidth * rate.share);
    const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
    fmt::print(stderr, "{}  [{}] {}{}", terminal_ ? "\r" : "", bar, rate.text(), terminal_ ? "  " : "\n");
    if (terminal_ && done == total) fmt::print(stderr, "\n");
  }

 private:
  static constexpr size_t kWidth = 20;
  const std::atomic<bool>& stop_;
  PrepareClock clock_;
  bool terminal_;
  double shown_ = 0;
};

void prepare_source(const RunConfig& config, const DataSource& source, const Tokenizer& tokenizer, const std::string& folder,
                    const std::atomic<bool>& stop) {
  const bool there = std::filesystem::exists(folder + "/dataset.json");
  const PrepareReport report = there ? parse_report(read_manifest(folder).report)
                                     : prepare(prepare_options(config, source), tokenizer, folder, ProgressBar(stop));
  fmt::print("{} {} {}\n  {}\n", source.path, there ? "was prepared before:" : "->", folder, report.shape_reason);
  for (const std::string& line : report_lines(source.path, report)) fmt::print("{}\n", line);
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
  const std::atomic<bool>& stop = stop_on_signals();
  const RunConfig config = read_run(config_path, overrides).config;
  const Tokenizer tokenizer(tokenizer_folder(config.model));
  const auto prepare_all = [&](const std::vector<DataSource>& sources, const std::string& split) {
    for (size_t i = 0; i < sources.size(); ++i) {
      const std::string folder =
          output.empty() ? dataset_cache_folder(config, sources[i], tokenizer, user_cache_dir())
                         : fmt::format("{}/{}{}", output, split, sources.size() > 1 ? fmt::format("-{}", i) : "");
      prepare_source(config, sources[i], tokenizer, folder, stop);
    }
  };
  try {
    prepare_all(config.data.train, "train");
    prepare_all(config.data.eval, "eval");
  } catch (const Stopped& stopped) {
    fmt::print(stderr, "{}; start again to continue\n", stopped.what());
    return kStopped;
  }
  return kDone;
}

}  // namespace lathe

// lathe inspect CONFIG|DATASET [key=value ...]
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "data/prepare.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/inspection.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "recipes/parts.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFooter = R"(
A config shows what train would see: raw files are prepared into the cache first, as train does. A
dataset folder (dataset.json in it) is shown as it is. Any other file, folder or glob is prepared
with --tokenizer and the keys that are given.

  lathe inspect mine.yaml --html inspect.html
  lathe inspect chats.jsonl --tokenizer models/mine max_length=512 packing=false
)";

struct InspectArguments {
  std::string source, tokenizer, html, split = "train", colour = "auto";
  std::vector<std::string> overrides;
  int64_t examples = 2, tokens = 400;
};

bool is_config(const std::string& path) {
  return path.ends_with(".yaml") || path.ends_with(".yml");
}
bool is_dataset(const std::string& path) { return fs::exists(fs::path(path) / "dataset.json"); }

RunConfig config_of(const InspectArguments& a) {
  if (is_config(a.source)) return read_run(a.source, a.overrides).config;
  RunConfig config;
  read_config({.path = "", .overrides = a.overrides}, config);
  config.data.train = {DataSource{.path = a.source}};
  config.model.tokenizer = a.tokenizer;
  return config;
}

Packing packing_of(const std::string& name) {
  if (name == "false") return Packing::kOff;
  return name == "wrapped" ? Packing::kWrapped : Packing::kBestFit;
}

Inspection inspect_source(const RunConfig& config, const DataSource& source,
                          const Tokenizer* tokenizer, const InspectOptions& options) {
  if (is_dataset(source.path)) {
    return inspect_dataset(source.path, Dataset(source.path, tokenizer ? tokenizer->hash() : ""),
                           tokenizer, options);
  }
  if (!tokenizer) {
    throw UsageError("lathe inspect: " + source.path +
                     " holds raw records: --tokenizer DIR is needed to make tokens of them");
  }
  const std::string folder = dataset_cache_folder(config, source, *tokenizer, user_cache_dir());
  if (!is_dataset(folder)) prepare(prepare_options(config, source), *tokenizer, folder);
  return inspect_dataset(source.path, Dataset(folder, tokenizer->hash()), tokenizer, options);
}

void write_page(const std::string& path, const std::vector<Inspection>& inspections) {
  std::ofstream out(path, std::ios::binary);
  out << inspection_html(inspections);
  out.close();
  if (!out) throw std::runtime_error("--html " + path + " can not be written");
  fmt::print("written to {}\n", path);
}

bool wants_colours(const std::string& setting) {
  if (setting != "auto" && setting != "always" && setting != "never") {
    throw UsageError("lathe inspect: --color is `" + setting + "`; expected auto, always or never");
  }
  return setting == "always" || (setting == "auto" && isatty(STDOUT_FILENO));
}

}  // namespace

int inspect_verb(int argc, char** argv) {
  InspectArguments a;
  Arguments arguments("inspect",
                      "Shows examples as tokens with their mask, lengths, what was dropped, and "
                      "what packing does.");
  arguments.positional("source", a.source,
                       "a config, a dataset folder, or a file, folder or glob of records");
  arguments.positionals("overrides", a.overrides, "key=value, with or without the section");
  arguments.option("--tokenizer", a.tokenizer, "folder or tokenizer.json; a config brings its own");
  arguments.option("--examples", a.examples, "how many to show");
  arguments.option("--tokens", a.tokens, "of each example at most so many");
  arguments.option("--split", a.split, "of a config: train or eval");
  arguments.option("--html", a.html, "write a page of it, which needs nothing else");
  arguments.option("--color", a.colour, "auto (on a terminal), always or never");
  arguments.footer(kFooter);
  if (!arguments.parse(argc, argv)) return kDone;
  if (a.split != "train" && a.split != "eval")
    throw UsageError("lathe inspect: --split is `" + a.split + "`; expected train or eval");
  if (a.examples < 0 || a.tokens < 1)
    throw UsageError("lathe inspect: --examples must be at least 0 and --tokens at least 1");
  const bool colours = wants_colours(a.colour);
  const RunConfig config = config_of(a);
  const std::string folder = a.tokenizer.empty() ? tokenizer_folder(config.model) : a.tokenizer;
  const std::unique_ptr<Tokenizer> tokenizer =
      folder.empty() ? nullptr : std::make_unique<Tokenizer>(folder);
  const std::vector<DataSource>& sources =
      a.split == "train" ? config.data.train : config.data.eval;
  if (sources.empty()) {
    throw UsageError(fmt::format(
        "lathe inspect: {} names no data.{} (a recipe that makes its data does so when it runs)",
        a.source, a.split));
  }
  const InspectOptions options{.examples = a.examples,
                               .tokens = a.tokens,
                               .max_length = config.data.max_length,
                               .packing = packing_of(config.data.packing)};
  std::vector<Inspection> inspections;
  for (const DataSource& source : sources) {
    inspections.push_back(inspect_source(config, source, tokenizer.get(), options));
    fmt::print("{}\n", inspection_text(inspections.back(), colours));
  }
  if (!a.html.empty()) write_page(a.html, inspections);
  return kDone;
}

}  // namespace lathe

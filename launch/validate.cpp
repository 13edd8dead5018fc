// lathe validate CONFIG.yaml [key=value ...]: everything that can be checked before anything heavy is loaded.
#include <fmt/core.h>

#include <filesystem>

#include "data/chat/chat_format.h"
#include "data/corpus/corpus.h"
#include "data/shards/dataset.h"
#include "data/shards/teacher_set.h"
#include "data/tokenize/tokenizer.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "recipes/parts.h"
#include "recipes/recipe.h"
#include "trainer/hf_folder.h"
#include "trainer/model_config.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

void say(const std::string& what, const std::string& found) { fmt::print("ok  {:<10} {}\n", what, found); }

void check_model(const RunConfig& config) {
  const ModelConfig model = read_model_config(config.model.model_name_or_path);
  say("model", fmt::format("{}: {}, {} layers of {}, vocabulary {}", config.model.model_name_or_path, model.model_type,
                           model.num_hidden_layers, model.hidden_size, model.vocab_size));
  if (config.data.max_length > context_length(model)) {
    throw std::invalid_argument(fmt::format("data.max_length is {} but the model was made for {} positions; lower data.max_length",
                                            config.data.max_length, context_length(model)));
  }
  const Tokenizer tokenizer(tokenizer_folder(config.model));
  if (tokenizer.vocab_size() > model.vocab_size) {
    throw std::invalid_argument(fmt::format("the tokenizer has {} ids but the model only {}; they do not belong together",
                                            tokenizer.vocab_size(), model.vocab_size));
  }
  const ChatFormat format(tokenizer, config.data.chat_template);
  say("template", format.name());
  if (const std::string note = end_of_turn_note(format, tokenizer, model.eos_token_id); !note.empty()) fmt::print("    {}\n", note);
  say("tokenizer", fmt::format("{} ids, hash {}", tokenizer.vocab_size(), tokenizer.hash()));
}

// Whoever teaches recipe distill.
void check_teacher(const RunConfig& config) {
  const DistillConfig& distill = config.distill;
  for (const std::string& folder : distill.teacher_shards) {
    const TeacherInfo info = read_teacher_manifest(folder).info;
    say("teacher", fmt::format("{}: rows of {} tokens, tokenizer {}", folder, info.k, info.tokenizer_hash));
  }
  if (distill.teacher_model_name_or_path.empty() || distill.teacher_model_name_or_path == "self") return;
  const std::string folder = resolve_model_folder(distill.teacher_model_name_or_path, user_hub_folder());
  const ModelConfig teacher = read_model_config(folder);
  say("teacher", fmt::format("{}: {}, {} layers of {}, vocabulary {}", folder, teacher.model_type, teacher.num_hidden_layers,
                             teacher.hidden_size, teacher.vocab_size));
}

void check_source(const RunConfig& config, const DataSource& source, const std::string& split) {
  if (std::filesystem::exists(source.path + "/dataset.json")) {
    const Dataset dataset(source.path);
    say(split, fmt::format("{}: dataset folder with {} documents", source.path, dataset.documents()));
    return;
  }
  const PrepareOptions options = prepare_options(config, source);
  for (const std::string& path : options.files) {
    CorpusFile file(path, options.reading);
    if (!file.next()) throw std::invalid_argument(path + " holds no record");
    say(split, path + ": " + file.reason());
  }
}

}  // namespace

int validate_verb(int argc, char** argv) {
  std::string config_path;
  std::vector<std::string> overrides;
  Arguments arguments("validate", "Checks a config, its files, its model folder and its layout, without training.");
  arguments.positional("config", config_path, "the YAML file");
  arguments.positionals("overrides", overrides, "key=value, with or without the section");
  bool config_only = false;
  arguments.flag("--config-only", config_only,
                 "keys, values and layout; model, teacher and data need not be here");
  if (!arguments.parse(argc, argv)) return kDone;
  const RunRequest request =
      config_only ? read_run_config_alone(config_path, overrides) : read_run(config_path, overrides);
  for (const std::string& note : request.resolved.notes) fmt::print("    {}\n", note);
  say("config", fmt::format("{}, recipe {}", config_path, request.config.recipe));
  mesh_shape(request.config.parallel);
  if (!config_only && !find_recipe(request.config.recipe).makes_its_data) {
    check_model(request.config);
    if (request.config.recipe == "distill") check_teacher(request.config);
    for (const DataSource& source : request.config.data.train) check_source(request.config, source, "data.train");
    for (const DataSource& source : request.config.data.eval) check_source(request.config, source, "data.eval");
  }
  fmt::print("valid\n");
  return kDone;
}

}  // namespace lathe

// lathe export SOURCE --output DIR [--merge]
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_files.h"
#include "launch/run_verb.h"
#include "parallel/local_group.h"
#include "recipes/run_record.h"
#include "recipes/trained_model.h"
#include "trainer/checkpoint.h"
#include "trainer/hf_folder.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

bool is_checkpoint(const fs::path& folder) { return fs::exists(folder / "manifest.json"); }

// The run's model in float32 with the checkpoint's master weights where they were trained.
TrainedModel model_of_checkpoint(const std::string& checkpoint, const std::string& run_folder, const std::string& model_folder) {
  RunConfig config;
  read_run_config({.path = run_folder + "/config.yaml", .overrides = {}}, config);
  config.model.model_name_or_path = model_folder;
  config.model.dtype = "fp32";
  Mesh mesh(solo_group(), {});
  TrainedModel trained = make_trained_model(config, mesh);
  std::vector<StateSlice> slices;
  for (Parameter* parameter : trained.parameters()) {
    if (!parameter->trained) continue;
    slices.push_back({"master/" + parameter->name, parameter->value.sizes().vec(), 0, parameter->value.detach().view({-1})});
  }
  Checkpoint(checkpoint, mesh.world()).fill(slices);
  return trained;
}

// On tokens drawn from the whole vocabulary.
at::Tensor some_logits(Model& model) {
  constexpr int64_t kTokens = 64;
  const at::NoGradGuard no_grad;
  std::vector<int64_t> tokens(std::min(kTokens, model.config().max_position_embeddings));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int64_t>(philox(1, i)[0]) % model.config().vocab_size;
  }
  return model.logits(model.hidden(make_batch({{tokens.data(), nullptr, std::ssize(tokens)}})));
}

void merge(Lora& lora, Model& model) {
  const at::Tensor before = some_logits(model);
  lora.merge();
  const at::Tensor after = some_logits(model);
  fmt::print("merged in fp32; largest error of a logit {:.3g} (largest logit {:.3g})\n",
             (after - before).abs().max().item<double>(), before.abs().max().item<double>());
}

struct Folders {
  std::string model, tokenizer;
};

// What run.json names, unless the user says that it has moved.
Folders folders_of_checkpoint(const std::string& checkpoint, const std::string& run_folder, const Folders& given) {
  Folders folders = given;
  if (given.model.empty() || given.tokenizer.empty()) {
    const RunRecord record = read_run_record(run_folder);
    if (given.model.empty()) folders.model = record.model_folder;
    if (given.tokenizer.empty()) folders.tokenizer = given.model.empty() ? record.tokenizer_folder : given.model;
  }
  for (const std::string& folder : {folders.model, folders.tokenizer}) {
    if (fs::exists(folder)) continue;
    throw std::invalid_argument(folder + ", which " + checkpoint +
                                " was trained with, is not there; say with --model (and --tokenizer) where it is now");
  }
  return folders;
}

// The adapter's base: what the user says, else what its config says.
std::string base_folder(const std::string& adapter, const std::string& given) {
  const std::string base = given.empty() ? read_peft_config(adapter).base_model_name_or_path : given;
  if (base.empty()) throw UsageError("lathe export: " + adapter + " does not name its base model; give --model");
  return resolve_model_folder(base, user_hub_folder());
}

struct Source {
  TrainedModel model;
  std::string tokenizer;
  std::string chat_template = "";  // of the run, where it used another than the tokenizer's
};

Source read_source(const std::string& source, const Folders& given) {
  const auto tokenizer_or = [&](const std::string& folder) { return given.tokenizer.empty() ? folder : given.tokenizer; };
  if (is_checkpoint(source)) {
    const std::string run = fs::path(fs::absolute(source).lexically_normal()).parent_path().string();
    const Folders folders = folders_of_checkpoint(source, run, given);
    return {model_of_checkpoint(source, run, folders.model), folders.tokenizer, read_chat_template(run)};
  }
  if (!is_peft_folder(source)) {
    if (!given.model.empty()) throw UsageError("lathe export: --model is for checkpoints and adapters; the source is a model folder itself");
    return {{.model = load_model(source, at::kFloat, at::kCPU), .lora = std::nullopt, .base = source}, tokenizer_or(source)};
  }
  TrainedModel trained{.model = nullptr, .lora = std::nullopt, .base = base_folder(source, given.model)};
  trained.model = load_model(trained.base, at::kFloat, at::kCPU);
  trained.lora.emplace(Lora::read(*trained.model, source));
  const bool own = fs::exists(fs::path(source) / "tokenizer_config.json");
  const std::string tokenizer = tokenizer_or(own ? source : trained.base);
  return {std::move(trained), tokenizer};
}

at::ScalarType parse_dtype(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  throw UsageError("lathe export: --dtype is `" + name + "`; expected fp32, bf16 or fp16");
}

}  // namespace

int export_verb(int argc, char** argv) {
  std::string source, output, dtype = "fp32", model_folder, tokenizer_folder;
  int64_t max_shard_mib = 5120;
  bool merged = false;
  Arguments arguments("export", "Writes a Hugging Face folder from a checkpoint or from another Hugging Face folder.");
  arguments.positional("source", source, "checkpoint-<step> of a run folder, a model folder, or a PEFT adapter's folder");
  arguments.option("--output", output, "the folder to write", true);
  arguments.flag("--merge", merged, "put the adapter into the weights (in fp32) and say how far logits moved");
  arguments.option("--dtype", dtype, "type of the stored weights: fp32, bf16 or fp16");
  arguments.option("--model", model_folder, "the model folder that a checkpoint or an adapter began with, if it has moved");
  arguments.option("--tokenizer", tokenizer_folder, "the folder of tokenizer files to carry along, if it is another");
  arguments.option("--max-shard-mib", max_shard_mib, "weights beyond this go into several files");
  if (!arguments.parse(argc, argv)) return kDone;
  const at::ScalarType store = parse_dtype(dtype);
  if (max_shard_mib < 1) throw UsageError("lathe export: --max-shard-mib must be at least 1");
  if (!fs::is_directory(source)) throw std::invalid_argument(source + " is not a folder; expected a checkpoint or a model folder");
  std::error_code ignored;
  if (fs::equivalent(source, output, ignored)) throw UsageError("lathe export: --output is the source itself; choose another folder");

  auto [trained, tokenizer, chat_template] = read_source(source, {model_folder, tokenizer_folder});
  if (merged && !trained.lora) throw UsageError("lathe export: --merge, but " + source + " holds no adapter");
  if (merged) merge(*trained.lora, *trained.model);
  if (trained.lora && !merged) {
    trained.save(output, tokenizer);
    write_chat_template(output, chat_template);
    fmt::print("{} written: an adapter of {}, re-opened and compared\n", output, trained.base);
    return kDone;
  }
  save_model(*trained.model, output, tokenizer, store, max_shard_mib << 20);
  write_chat_template(output, chat_template);
  fmt::print("{} written: {} parameters, re-opened and compared\n", output, trained.model->parameters().size());
  return kDone;
}

}  // namespace lathe

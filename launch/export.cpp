// lathe export SOURCE --output DIR
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
#include "trainer/checkpoint.h"
#include "trainer/hf_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

bool is_checkpoint(const fs::path& folder) { return fs::exists(folder / "manifest.json"); }

// A model in float32 with the checkpoint's master weights.
std::unique_ptr<Model> model_of_checkpoint(const std::string& checkpoint, const std::string& model_folder) {
  std::unique_ptr<Model> model = make_model(read_model_config(model_folder), at::kFloat, at::kCPU);
  std::vector<StateSlice> slices;
  for (Parameter* parameter : model->parameters()) {
    slices.push_back({"master/" + parameter->name, parameter->value.sizes().vec(), 0, parameter->value.detach().view({-1})});
  }
  const std::unique_ptr<Group> solo = solo_group();
  Checkpoint(checkpoint, *solo).fill(slices);
  return model;
}

struct Folders {
  std::string model, tokenizer;
};

// What run.json names, unless the user says that it has moved.
Folders folders_of_checkpoint(const std::string& checkpoint, const std::string& model, const std::string& tokenizer) {
  Folders folders{model, tokenizer.empty() ? model : tokenizer};
  if (model.empty()) {
    const RunRecord record = read_run_record(fs::path(fs::absolute(checkpoint).lexically_normal()).parent_path().string());
    folders = {record.model_folder, tokenizer.empty() ? record.tokenizer_folder : tokenizer};
  }
  for (const std::string& folder : {folders.model, folders.tokenizer}) {
    if (fs::exists(folder)) continue;
    throw std::invalid_argument(folder + ", which " + checkpoint +
                                " was trained with, is not there; say with --model (and --tokenizer) where it is now");
  }
  return folders;
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
  Arguments arguments("export", "Writes a Hugging Face folder from a checkpoint or from another Hugging Face folder.");
  arguments.positional("source", source, "checkpoint-<step> of a run folder, or a model folder");
  arguments.option("--output", output, "the folder to write", true);
  arguments.option("--dtype", dtype, "type of the stored weights: fp32, bf16 or fp16");
  arguments.option("--model", model_folder, "the model folder that a checkpoint began with, if it has moved");
  arguments.option("--tokenizer", tokenizer_folder, "the folder of tokenizer files to carry along, if it is another");
  arguments.option("--max-shard-mib", max_shard_mib, "weights beyond this go into several files");
  if (!arguments.parse(argc, argv)) return kDone;
  const at::ScalarType store = parse_dtype(dtype);
  if (max_shard_mib < 1) throw UsageError("lathe export: --max-shard-mib must be at least 1");
  if (!fs::is_directory(source)) throw std::invalid_argument(source + " is not a folder; expected a checkpoint or a model folder");
  std::error_code ignored;
  if (fs::equivalent(source, output, ignored)) throw UsageError("lathe export: --output is the source itself; choose another folder");

  std::string tokenizer = source;
  std::unique_ptr<Model> model;
  if (is_checkpoint(source)) {
    const Folders folders = folders_of_checkpoint(source, model_folder, tokenizer_folder);
    tokenizer = folders.tokenizer;
    model = model_of_checkpoint(source, folders.model);
  } else {
    if (!model_folder.empty()) throw UsageError("lathe export: --model is for checkpoints; the source is a model folder itself");
    if (!tokenizer_folder.empty()) tokenizer = tokenizer_folder;
    model = load_model(source, at::kFloat, at::kCPU);
  }
  save_model(*model, output, tokenizer, store, max_shard_mib << 20);
  fmt::print("{} written: {} parameters, re-opened and compared\n", output, model->parameters().size());
  return kDone;
}

}  // namespace lathe

#include "launch/model_arguments.h"

#include "launch/run_files.h"
#include "recipes/parts.h"
#include "trainer/hf_folder.h"
#include "trainer/lora.h"

namespace lathe {

const Tokenizer& LoadedModel::tokenizer() const {
  if (!tokenizer_) tokenizer_ = std::make_unique<Tokenizer>(folder);
  return *tokenizer_;
}

void ModelArguments::add_to(Arguments& arguments) {
  arguments.option("--model", model, "Hugging Face folder, or org/name in the local cache", true);
  arguments.option("--adapter", adapter, "folder of a PEFT adapter to put on the model");
  arguments.option("--dtype", dtype, "fp32, bf16 or auto");
}

LoadedModel ModelArguments::load() const {
  if (dtype != "auto" && dtype != "fp32" && dtype != "bf16") {
    throw UsageError("--dtype is `" + dtype + "`; expected fp32, bf16 or auto");
  }
  LoadedModel loaded;
  loaded.folder = resolve_model_folder(model, user_hub_folder());
  loaded.model = load_adapted_model(loaded.folder, adapter, compute_dtype(dtype, at::kCPU), at::kCPU);
  return loaded;
}

}  // namespace lathe

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/model.h"

// Hugging Face model folders: in and out.
namespace lathe {

// config.json + weights (model.safetensors, or shards with model.safetensors.index.json) -> a model
// in dtype on device. Missing, extra and mis-shaped tensors are listed by name in one error.
// Tolerated: lm_head.weight beside tied embeddings, and the rotary buffers that old versions
// stored.
// Of a model that is cut over ranks each rank reads its parts only.
std::unique_ptr<Model> load_model(const std::string& folder, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp = {});

// The same, with the weights still in their files: fill gives one parameter its values.
struct UnfilledModel {
  std::unique_ptr<Model> model;
  std::function<void(Parameter&)> fill;
};
UnfilledModel open_model(const std::string& folder, at::ScalarType dtype, at::Device device,
                         const TensorParallel& tp = {});

// The same into a model that was made otherwise. optional: names that the files may lack, whose
// values stay, or have beyond the model's.
void load_weights(Model& model, const std::string& folder,
                  const std::vector<std::string>& optional = {});

// A weight by parameter name, whole; undefined: take the model's own. For float32 masters.
using WeightSource = std::function<at::Tensor(const std::string& name)>;

// Writes config.json and model.safetensors (shards beyond max_shard_bytes; shards of an earlier
// save are removed) in store_dtype, and copies generation_config.json and the tokenizer's files
// from tokenizer_folder ("": none; a file stands for its folder). Re-opens what it wrote and
// compares bytes before it returns. float16 refuses a value that it cannot hold.
void save_model(Model& model, const std::string& folder, const std::string& tokenizer_folder,
                at::ScalarType store_dtype, int64_t max_shard_bytes = int64_t{5} << 30,
                const WeightSource& weights = {});

// Copies generation_config.json and the tokenizer's files, and removes those of `folder` that the
// source lacks.
void carry_tokenizer(const std::string& tokenizer_folder, const std::string& folder);

// A folder's chat_template.jinja; "" where there is none, and nothing is written for "".
std::string read_chat_template(const std::string& folder);
void write_chat_template(const std::string& folder, const std::string& text);

// A folder as it is; `org/name` looked up in a local Hugging Face cache (hub_cache_folder, "":
// there is none); never the network. std::invalid_argument says where it looked.
std::string resolve_model_folder(const std::string& name_or_path, const std::string& cache = "");

// Where that cache lies: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
// ~/.cache/huggingface/hub. `environment` gives a variable's value, or "".
std::string hub_cache_folder(const std::function<std::string(const char*)>& environment);

}  // namespace lathe

#pragma once

#include <memory>
#include <string>

#include "trainer/model.h"

// Hugging Face model folders: in and out.
namespace lathe {

// A folder as it is; `org/name` looked up in the local Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub;
// `cache` overrides); never the network. std::invalid_argument says where it looked.
std::string resolve_model_folder(const std::string& name_or_path, const std::string& cache = "");

// config.json + weights (model.safetensors, or shards with model.safetensors.index.json) -> a model in dtype on device.
// Missing, extra and mis-shaped tensors are listed by name in one error.
std::unique_ptr<Model> load_model(const std::string& folder, at::ScalarType dtype, at::Device device);

// Writes config.json, model.safetensors (sharded beyond max_shard_bytes, stale shards removed), generation_config.json and
// the tokenizer's files copied from tokenizer_folder ("" : none). Weights are taken from `values` by parameter name when
// given (float32 masters), else from the model; stored in store_dtype. Re-opens what it wrote and compares bytes before
// it returns.
void save_model(Model& model, const std::string& folder, const std::string& tokenizer_folder, at::ScalarType store_dtype,
                int64_t max_shard_bytes = int64_t{5} << 30);

}  // namespace lathe

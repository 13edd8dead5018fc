#pragma once

#include <memory>

#include "trainer/model.h"

// The families of models, one function each; the table of them is in models.cpp.
namespace lathe {

// Llama 1 to 3.x, TinyLlama, SmolLM 1 and 2 (arXiv:2302.13971, 2407.21783).
std::unique_ptr<Model> make_llama(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device);
// Qwen 2 and 2.5 (arXiv:2407.10671): biases on q, k and v.
std::unique_ptr<Model> make_qwen2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device);
// Qwen 3, dense (arXiv:2505.09388): a norm on every head's query and key.
std::unique_ptr<Model> make_qwen3(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device);
// Mistral 7B, Nemo and Small (arXiv:2310.06825): a sliding window.
std::unique_ptr<Model> make_mistral(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device);

}  // namespace lathe

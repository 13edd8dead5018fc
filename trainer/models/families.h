#pragma once

#include <memory>

#include "trainer/model.h"

// The families of models, one function each; the table of them is in models.cpp.
namespace lathe {

// Llama 1 to 3.x, TinyLlama, SmolLM 1 and 2 (arXiv:2302.13971, 2407.21783).
std::unique_ptr<Model> make_llama(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp);
// Qwen 2 and 2.5 (arXiv:2407.10671): biases on q, k and v.
std::unique_ptr<Model> make_qwen2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp);
// Qwen 3, dense (arXiv:2505.09388): a norm on every head's query and key.
std::unique_ptr<Model> make_qwen3(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp);
// Mistral 7B, Nemo and Small (arXiv:2310.06825): a sliding window.
std::unique_ptr<Model> make_mistral(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp);
// Phi 3 to 4 (arXiv:2404.14219): one product for q, k and v, one for gate and up.
std::unique_ptr<Model> make_phi3(const ModelConfig& config, at::ScalarType dtype, at::Device device,
                                 const TensorParallel& tp);
// Gemma 2 (arXiv:2408.00118): four norms a layer, soft caps, a window on every second layer.
std::unique_ptr<Model> make_gemma2(const ModelConfig& config, at::ScalarType dtype,
                                   at::Device device, const TensorParallel& tp);
// Gemma 3 (arXiv:2503.19786), text only: norms on queries and keys, a rotary base of their own for
// layers with a window.
std::unique_ptr<Model> make_gemma3(const ModelConfig& config, at::ScalarType dtype,
                                   at::Device device, const TensorParallel& tp);
// OLMo 2 (arXiv:2501.00656): norms after each part, and over whole queries and keys.
std::unique_ptr<Model> make_olmo2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp);
// SmolLM 3: Llama whose every fourth layer turns no positions (arXiv:2501.18795).
std::unique_ptr<Model> make_smollm3(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp);
// Mixtral (arXiv:2401.04088): Mistral with a mixture of experts in the place of every MLP.
std::unique_ptr<Model> make_mixtral(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp);
// Qwen 3 with experts (arXiv:2505.09388) in all or some layers.
std::unique_ptr<Model> make_qwen3_moe(const ModelConfig& config, at::ScalarType dtype,
                                      at::Device device, const TensorParallel& tp);
// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, no gate. Its dropout is not applied.
std::unique_ptr<Model> make_gpt2(const ModelConfig& config, at::ScalarType dtype, at::Device device,
                                 const TensorParallel& tp);

}  // namespace lathe

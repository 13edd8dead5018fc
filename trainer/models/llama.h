#pragma once

#include <memory>

#include "trainer/model.h"

// Llama 1 to 3.x, TinyLlama, SmolLM 1 and 2 (arXiv:2302.13971, 2407.21783).
namespace lathe {

std::unique_ptr<Model> make_llama(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device);

}  // namespace lathe

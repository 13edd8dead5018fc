#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

std::unique_ptr<Model> make_llama(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  DecoderTraits traits;
  traits.qkv_bias = config.attention_bias;
  traits.output_bias = config.attention_bias;
  traits.mlp_bias = config.mlp_bias;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

// All that differs from Llama, the layers that turn no positions, is in the config.
std::unique_ptr<Model> make_smollm3(const ModelConfig& config, at::ScalarType dtype,
                                    at::Device device, const TensorParallel& tp) {
  return make_llama(config, dtype, device, tp);
}

}  // namespace lathe

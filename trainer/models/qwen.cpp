#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

std::unique_ptr<Model> make_qwen2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device) {
  DecoderTraits traits;
  traits.qkv_bias = true;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device));
}

std::unique_ptr<Model> make_qwen3(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device) {
  DecoderTraits traits;
  traits.qkv_bias = config.attention_bias;
  traits.output_bias = config.attention_bias;
  traits.qk_norm = DecoderTraits::QkNorm::kHead;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device));
}

}  // namespace lathe

#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {

std::unique_ptr<Model> make_olmo2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  DecoderTraits traits;
  traits.qkv_bias = config.attention_bias;
  traits.output_bias = config.attention_bias;
  traits.qk_norm = DecoderTraits::QkNorm::kWhole;
  traits.norms = DecoderTraits::Norms::kAfter;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

}  // namespace lathe

#include <cmath>

#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {
namespace {

DecoderTraits gemma_traits(const ModelConfig& config) {
  DecoderTraits traits;
  traits.qkv_bias = config.attention_bias;
  traits.output_bias = config.attention_bias;
  traits.norms = DecoderTraits::Norms::kBoth;
  traits.norm_offset = 1;
  traits.activation = Activation::kGeluTanh;
  if (config.query_pre_attn_scalar > 0) {
    traits.attention_scale = 1 / std::sqrt(config.query_pre_attn_scalar);
  }
  traits.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  return traits;
}

}  // namespace

std::unique_ptr<Model> make_gemma2(const ModelConfig& config, at::ScalarType dtype,
                                   at::Device device, const TensorParallel& tp) {
  const DecoderTraits traits = gemma_traits(config);
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

std::unique_ptr<Model> make_gemma3(const ModelConfig& config, at::ScalarType dtype,
                                   at::Device device, const TensorParallel& tp) {
  DecoderTraits traits = gemma_traits(config);
  traits.qk_norm = DecoderTraits::QkNorm::kHead;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

}  // namespace lathe

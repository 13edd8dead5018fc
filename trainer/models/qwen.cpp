#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {
namespace {

DecoderTraits qwen3_traits(const ModelConfig& config) {
  DecoderTraits traits;
  traits.qkv_bias = config.attention_bias;
  traits.output_bias = config.attention_bias;
  traits.qk_norm = DecoderTraits::QkNorm::kHead;
  return traits;
}

}  // namespace

std::unique_ptr<Model> make_qwen2(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  DecoderTraits traits;
  traits.qkv_bias = true;
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

std::unique_ptr<Model> make_qwen3(const ModelConfig& config, at::ScalarType dtype,
                                  at::Device device, const TensorParallel& tp) {
  const DecoderTraits traits = qwen3_traits(config);
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

std::unique_ptr<Model> make_qwen3_moe(const ModelConfig& config, at::ScalarType dtype,
                                      at::Device device, const TensorParallel& tp) {
  DecoderTraits traits = qwen3_traits(config);
  traits.experts = {"mlp.", "gate_proj", "up_proj", "down_proj"};
  return std::make_unique<Transformer>(config, decoder_parts(config, traits, dtype, device, tp));
}

}  // namespace lathe

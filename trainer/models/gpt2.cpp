#include <cmath>

#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {
namespace {

NormLayer norm(const PartMaker& make, const std::string& name, const ModelConfig& c) {
  NormLayer layer = make.norm(name, c.hidden_size, c.rms_norm_eps);
  layer.bias = make.parameter(name + ".bias", {c.hidden_size});
  return layer;
}

// Stored [in, out] and called Conv1D.
LinearLayer linear(const PartMaker& make, const std::string& name, int64_t in, int64_t out) {
  return {make.parameter(name + ".weight", {in, out}), make.parameter(name + ".bias", {out}), true};
}

Block make_block(const PartMaker& make, const std::string& name, const ModelConfig& c) {
  const int64_t H = c.hidden_size, I = c.intermediate_size;
  Block block;
  block.before_attention = norm(make, name + "ln_1", c);
  block.before_mlp = norm(make, name + "ln_2", c);
  block.attention.head_dim = c.head_dim;
  block.attention.num_kv_heads = c.num_attention_heads;
  block.attention.scoring.scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  block.attention.rotation = Rotation::kNone;
  block.attention.qkv.push_back(linear(make, name + "attn.c_attn", H, 3 * H));
  block.attention.o = linear(make, name + "attn.c_proj", H, H);
  block.mlp.activation = Activation::kGeluTanh;
  block.mlp.gated = false;
  block.mlp.up.push_back(linear(make, name + "mlp.c_fc", H, I));
  block.mlp.down = linear(make, name + "mlp.c_proj", I, H);
  return block;
}

}  // namespace

std::unique_ptr<Model> make_gpt2(const ModelConfig& config, at::ScalarType dtype,
                                 at::Device device) {
  check_sizes(config);
  const PartMaker make{at::TensorOptions().dtype(dtype).device(device)};
  const int64_t V = config.vocab_size, H = config.hidden_size;
  TransformerParts parts{
      .embedding = make.parameter("transformer.wte.weight", {V, H}),
      .positions = make.parameter("transformer.wpe.weight", {config.max_position_embeddings, H}),
      .norm = norm(make, "transformer.ln_f", config)};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.blocks.push_back(make_block(make, "transformer.h." + std::to_string(i) + ".", config));
  }
  if (!config.tie_word_embeddings) parts.head = make.parameter("lm_head.weight", {V, H});
  return std::make_unique<Transformer>(config, std::move(parts));
}

}  // namespace lathe

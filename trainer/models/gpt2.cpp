#include <cmath>

#include "trainer/models/families.h"
#include "trainer/models/transformer.h"

namespace lathe {
namespace {

NormLayer norm(const PartMaker& make, const std::string& name, const ModelConfig& c) {
  NormLayer layer = make.norm(name, c.hidden_size, c.rms_norm_eps);
  layer.bias = make.parameter(name + ".bias", {c.hidden_size});
  layer.bias->partial = layer.weight.partial;
  return layer;
}

// Matrices are stored [in, out] and called Conv1D.
Block make_block(const PartMaker& make, const std::string& name, const ModelConfig& c) {
  const int64_t H = c.hidden_size, I = c.intermediate_size, Q = c.num_attention_heads;
  const CutRun q = make.heads(Q, c.head_dim), k = make.heads(Q, c.head_dim, H),
               v = make.heads(Q, c.head_dim, 2 * H), inner = make.heads(I, 1);
  Block block;
  block.tp = block.attention.tp = make.tp;
  block.before_attention = norm(make, name + "ln_1", c);
  block.before_mlp = norm(make, name + "ln_2", c);
  block.attention.head_dim = c.head_dim;
  block.attention.num_kv_heads = (q.end - q.begin) / c.head_dim;
  block.attention.scoring.scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  block.attention.rotation = Rotation::kNone;
  block.attention.qkv.push_back(
      make.by_outputs(name + "attn.c_attn", 3 * H, H, true, {q, k, v}, true));
  block.attention.o = make.by_inputs(name + "attn.c_proj", H, H, true, {q}, true);
  block.mlp.activation = Activation::kGeluTanh;
  block.mlp.gated = false;
  block.mlp.up.push_back(make.by_outputs(name + "mlp.c_fc", I, H, true, {inner}, true));
  block.mlp.down = make.by_inputs(name + "mlp.c_proj", H, I, true, {inner}, true);
  return block;
}

}  // namespace

std::unique_ptr<Model> make_gpt2(const ModelConfig& config, at::ScalarType dtype, at::Device device,
                                 const TensorParallel& tp) {
  check_sizes(config, tp);
  const PartMaker make{at::TensorOptions().dtype(dtype).device(device), tp};
  const int64_t V = config.vocab_size, H = config.hidden_size;
  TransformerParts parts{
      .embedding = make.table("transformer.wte.weight", V, H),
      .positions = make.parameter("transformer.wpe.weight", {config.max_position_embeddings, H}),
      .norm = norm(make, "transformer.ln_f", config)};
  parts.positions->partial = tp.shares_tokens();
  parts.tp = tp;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.blocks.push_back(make_block(make, "transformer.h." + std::to_string(i) + ".", config));
  }
  if (!config.tie_word_embeddings) parts.head = make.table("lm_head.weight", V, H);
  return std::make_unique<Transformer>(config, std::move(parts));
}

}  // namespace lathe

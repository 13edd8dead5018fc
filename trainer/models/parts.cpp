#include "trainer/models/parts.h"

#include <cmath>

namespace lathe {
namespace {

using Norms = DecoderTraits::Norms;
using QkNorm = DecoderTraits::QkNorm;

SelfAttention make_attention(const PartMaker& make, const std::string& name, const ModelConfig& c,
                             const DecoderTraits& traits, int64_t layer) {
  const int64_t H = c.hidden_size, D = c.head_dim;
  const int64_t QD = c.num_attention_heads * D, KD = c.num_key_value_heads * D;
  SelfAttention a;
  a.head_dim = D;
  a.num_kv_heads = c.num_key_value_heads;
  a.scoring.scale =
      traits.attention_scale > 0 ? traits.attention_scale : 1 / std::sqrt(static_cast<double>(D));
  a.scoring.softcap = c.attention_softcap;
  if (c.slides(layer)) a.scoring.window = c.sliding_window;
  if (c.slides(layer) && c.rope_local_theta > 0) a.rotation = Rotation::kLocal;
  if (!c.rotates(layer)) a.rotation = Rotation::kNone;
  if (traits.fused) {
    a.qkv.push_back(make.linear(name + "qkv_proj", QD + 2 * KD, H, traits.qkv_bias));
  } else {
    a.qkv.push_back(make.linear(name + "q_proj", QD, H, traits.qkv_bias));
    a.qkv.push_back(make.linear(name + "k_proj", KD, H, traits.qkv_bias));
    a.qkv.push_back(make.linear(name + "v_proj", KD, H, traits.qkv_bias));
  }
  a.o = make.linear(name + "o_proj", H, QD, traits.output_bias);
  if (traits.qk_norm == QkNorm::kNone) return a;
  const bool whole = traits.qk_norm == QkNorm::kWhole;
  const RmsNorm norm(c.rms_norm_eps, traits.norm_offset);
  a.q_norm = make.norm(name + "q_norm", whole ? QD : D, norm);
  a.k_norm = make.norm(name + "k_norm", whole ? KD : D, norm);
  return a;
}

Mlp make_mlp(const PartMaker& make, const std::string& name, const ModelConfig& c,
             const DecoderTraits& traits) {
  const int64_t H = c.hidden_size, I = c.intermediate_size;
  Mlp mlp;
  mlp.activation = traits.activation;
  if (traits.fused) {
    mlp.up.push_back(make.linear(name + "gate_up_proj", 2 * I, H, traits.mlp_bias));
  } else {
    mlp.up.push_back(make.linear(name + "gate_proj", I, H, traits.mlp_bias));
    mlp.up.push_back(make.linear(name + "up_proj", I, H, traits.mlp_bias));
  }
  mlp.down = make.linear(name + "down_proj", H, I, traits.mlp_bias);
  return mlp;
}

Experts make_experts(const PartMaker& make, const std::string& layer, const ModelConfig& c,
                     const DecoderTraits& traits) {
  const int64_t H = c.hidden_size, I = c.moe_intermediate_size;
  const ExpertNames& names = traits.experts;
  const std::string block = layer + names.block;
  Experts experts;
  experts.per_token = c.num_experts_per_tok;
  experts.renormalise = c.norm_topk_prob;
  experts.router = make.parameter(block + "gate.weight", {c.num_experts, H});
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const std::string name = block + "experts." + std::to_string(e) + ".";
    Mlp& expert = experts.experts.emplace_back();
    expert.activation = traits.activation;
    expert.up.push_back(make.linear(name + names.gate, I, H, false));
    expert.up.push_back(make.linear(name + names.up, I, H, false));
    expert.down = make.linear(name + names.down, H, I, false);
  }
  return experts;
}

Block make_block(const PartMaker& make, const ModelConfig& c, const DecoderTraits& traits,
                 int64_t layer) {
  const std::string name = "model.layers." + std::to_string(layer) + ".";
  const auto norm = [&](const char* part) {
    return make.norm(name + part, c.hidden_size, {c.rms_norm_eps, traits.norm_offset});
  };
  Block block;
  block.attention = make_attention(make, name + "self_attn.", c, traits, layer);
  if (c.has_experts(layer)) {
    block.experts = make_experts(make, name, c, traits);
  } else {
    block.mlp = make_mlp(make, name + "mlp.", c, traits);
  }
  if (traits.norms != Norms::kAfter) block.before_attention = norm("input_layernorm");
  if (traits.norms == Norms::kBefore) {
    block.before_mlp = norm("post_attention_layernorm");
    return block;
  }
  block.after_attention = norm("post_attention_layernorm");
  if (traits.norms == Norms::kBoth) block.before_mlp = norm("pre_feedforward_layernorm");
  block.after_mlp = norm("post_feedforward_layernorm");
  return block;
}

}  // namespace

void check_sizes(const ModelConfig& c) {
  const auto refuse = [](const std::string& what) {
    throw std::invalid_argument("config.json: " + what);
  };
  if (c.vocab_size < 1 || c.hidden_size < 1 || c.intermediate_size < 1 || c.num_hidden_layers < 1 ||
      c.num_attention_heads < 1 || c.num_key_value_heads < 1) {
    refuse("sizes must be positive");
  }
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    refuse("num_attention_heads " + std::to_string(c.num_attention_heads) +
           " is not a multiple of num_key_value_heads " + std::to_string(c.num_key_value_heads));
  }
  if (c.head_dim < 2 || c.head_dim % 2 != 0) {
    refuse("head_dim " + std::to_string(c.head_dim) + " must be even and positive");
  }
}

Parameter PartMaker::parameter(const std::string& name, at::IntArrayRef shape) const {
  return {name, at::empty(shape, options).set_requires_grad(true), {}, true};
}

LinearLayer PartMaker::linear(const std::string& name, int64_t out, int64_t in, bool bias) const {
  LinearLayer layer{parameter(name + ".weight", {out, in}), {}};
  if (bias) layer.bias = parameter(name + ".bias", {out});
  return layer;
}

NormLayer PartMaker::norm(const std::string& name, int64_t width, const RmsNorm& norm) const {
  return {parameter(name + ".weight", {width}), norm};
}

TransformerParts decoder_parts(const ModelConfig& config, const DecoderTraits& traits,
                               at::ScalarType dtype, at::Device device) {
  check_sizes(config);
  const PartMaker make{at::TensorOptions().dtype(dtype).device(device)};
  const int64_t V = config.vocab_size, H = config.hidden_size;
  TransformerParts parts{
      .embedding = make.parameter("model.embed_tokens.weight", {V, H}),
      .embedding_scale = traits.embedding_scale,
      .norm = make.norm("model.norm", H, {config.rms_norm_eps, traits.norm_offset})};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.blocks.push_back(make_block(make, config, traits, i));
  }
  if (!config.tie_word_embeddings) parts.head = make.parameter("lm_head.weight", {V, H});
  parts.logit_softcap = config.logit_softcap;
  parts.rotary = config;
  if (config.rope_local_theta > 0) parts.local_rotary = local_rotary_config(config);
  return parts;
}

}  // namespace lathe

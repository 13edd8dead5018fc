#include "trainer/models/parts.h"

#include <cmath>

namespace lathe {
namespace {

using Norms = DecoderTraits::Norms;
using QkNorm = DecoderTraits::QkNorm;

NormLayer head_norm(const PartMaker& make, const std::string& name, const RmsNorm& options,
                    int64_t width) {
  NormLayer norm{make.parameter(name + ".weight", {width}), options};
  norm.weight.partial = true;  // each rank's heads add to it
  return norm;
}

// Over all heads of the model: each rank has the weights of its own.
NormLayer whole_norm(const PartMaker& make, const std::string& name, const RmsNorm& options,
                     int64_t width, const CutRun& run) {
  return {make.part(name + ".weight", {width}, 0, {run}), options};
}

SelfAttention make_attention(const PartMaker& make, const std::string& name, const ModelConfig& c,
                             const DecoderTraits& traits, int64_t layer) {
  const int64_t H = c.hidden_size, D = c.head_dim, Q = c.num_attention_heads,
                K = c.num_key_value_heads;
  const int64_t QD = Q * D, KD = K * D;
  const CutRun q = make.heads(Q, D), kv = make.heads(K, D);
  SelfAttention a;
  a.tp = make.tp;
  a.head_dim = D;
  a.num_kv_heads = (kv.end - kv.begin) / D;
  a.scoring.scale =
      traits.attention_scale > 0 ? traits.attention_scale : 1 / std::sqrt(static_cast<double>(D));
  a.scoring.softcap = c.attention_softcap;
  if (c.slides(layer)) a.scoring.window = c.sliding_window;
  if (c.slides(layer) && c.rope_local_theta > 0) a.rotation = Rotation::kLocal;
  if (!c.rotates(layer)) a.rotation = Rotation::kNone;
  if (traits.fused) {
    a.qkv.push_back(make.by_outputs(name + "qkv_proj", QD + 2 * KD, H, traits.qkv_bias,
                                    {q, make.heads(K, D, QD), make.heads(K, D, QD + KD)}));
  } else {
    a.qkv.push_back(make.by_outputs(name + "q_proj", QD, H, traits.qkv_bias, {q}));
    a.qkv.push_back(make.by_outputs(name + "k_proj", KD, H, traits.qkv_bias, {kv}));
    a.qkv.push_back(make.by_outputs(name + "v_proj", KD, H, traits.qkv_bias, {kv}));
  }
  a.o = make.by_inputs(name + "o_proj", H, QD, traits.output_bias, {q});
  const RmsNorm norm(c.rms_norm_eps, traits.norm_offset);
  if (traits.qk_norm == QkNorm::kHead) {
    a.q_norm = head_norm(make, name + "q_norm", norm, D);
    a.k_norm = head_norm(make, name + "k_norm", norm, D);
  } else if (traits.qk_norm == QkNorm::kWhole) {
    a.q_norm = whole_norm(make, name + "q_norm", norm, QD, q);
    a.k_norm = whole_norm(make, name + "k_norm", norm, KD, kv);
  }
  return a;
}

Mlp make_mlp(const PartMaker& make, const std::string& name, const ModelConfig& c,
             const DecoderTraits& traits) {
  const int64_t H = c.hidden_size, I = c.intermediate_size;
  const CutRun inner = make.heads(I, 1);
  Mlp mlp;
  mlp.activation = traits.activation;
  if (traits.fused) {
    mlp.up.push_back(make.by_outputs(name + "gate_up_proj", 2 * I, H, traits.mlp_bias,
                                     {inner, make.heads(I, 1, I)}));
  } else {
    mlp.up.push_back(make.by_outputs(name + "gate_proj", I, H, traits.mlp_bias, {inner}));
    mlp.up.push_back(make.by_outputs(name + "up_proj", I, H, traits.mlp_bias, {inner}));
  }
  mlp.down = make.by_inputs(name + "down_proj", H, I, traits.mlp_bias, {inner});
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
  experts.router.partial = true;  // each rank's parts of the experts add to it
  const CutRun inner = make.heads(I, 1);
  for (int64_t e = 0; e < c.num_experts; ++e) {
    const std::string name = block + "experts." + std::to_string(e) + ".";
    Mlp& expert = experts.experts.emplace_back();
    expert.activation = traits.activation;
    expert.up.push_back(make.by_outputs(name + names.gate, I, H, false, {inner}));
    expert.up.push_back(make.by_outputs(name + names.up, I, H, false, {inner}));
    expert.down = make.by_inputs(name + names.down, H, I, false, {inner});
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
  block.tp = make.tp;
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

// Query heads are dealt to the ranks evenly, and so are key heads, or each serves several ranks.
bool fits(const ModelConfig& c, int64_t ranks) {
  const int64_t Q = c.num_attention_heads, K = c.num_key_value_heads;
  const int64_t inner = c.num_experts > 0 ? c.moe_intermediate_size : c.intermediate_size;
  return Q % ranks == 0 && (K % ranks == 0 || ranks % K == 0) && inner >= ranks &&
         c.vocab_size >= ranks;
}

void check_ranks(const ModelConfig& c, int64_t ranks) {
  if (fits(c, ranks)) return;
  int64_t best = 1;
  for (int64_t other = 1; other <= c.num_attention_heads; ++other) {
    if (fits(c, other) && std::abs(other - ranks) < std::abs(best - ranks)) best = other;
  }
  throw std::invalid_argument(
      "parallel.tp is " + std::to_string(ranks) + " but the model has " +
      std::to_string(c.num_attention_heads) + " query heads and " +
      std::to_string(c.num_key_value_heads) +
      " key/value heads; tp must divide the former, and divide the latter or be a multiple of "
      "them; the nearest that fits is tp=" +
      std::to_string(best));
}

}  // namespace

void check_sizes(const ModelConfig& c, const TensorParallel& tp) {
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
  check_ranks(c, tp.size());
}

TransformerParts decoder_parts(const ModelConfig& config, const DecoderTraits& traits,
                               at::ScalarType dtype, at::Device device, const TensorParallel& tp) {
  check_sizes(config, tp);
  const PartMaker make{at::TensorOptions().dtype(dtype).device(device), tp};
  const int64_t V = config.vocab_size, H = config.hidden_size;
  TransformerParts parts{
      .embedding = make.table("model.embed_tokens.weight", V, H),
      .embedding_scale = traits.embedding_scale,
      .norm = make.norm("model.norm", H, {config.rms_norm_eps, traits.norm_offset})};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.blocks.push_back(make_block(make, config, traits, i));
  }
  if (!config.tie_word_embeddings) parts.head = make.table("lm_head.weight", V, H);
  parts.logit_softcap = config.logit_softcap;
  parts.rotary = config;
  if (config.rope_local_theta > 0) parts.local_rotary = local_rotary_config(config);
  parts.tp = tp;
  return parts;
}

}  // namespace lathe

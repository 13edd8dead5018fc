#include "trainer/models/transformer.h"

#include <cmath>

#include "trainer/kernels/embedding.h"
#include "trainer/kernels/head.h"
#include "trainer/kernels/norm.h"
#include "trainer/kernels/product.h"

namespace lathe {
namespace {

struct Maker {
  at::TensorOptions options;

  Parameter parameter(const std::string& name, at::IntArrayRef shape) const {
    return {name, at::empty(shape, options).set_requires_grad(true), {}, true};
  }
  LinearLayer linear(const std::string& name, int64_t out, int64_t in, bool bias) const {
    LinearLayer layer{parameter(name + ".weight", {out, in}), {}};
    if (bias) layer.bias = parameter(name + ".bias", {out});
    return layer;
  }
};

Block make_block(const Maker& make, const std::string& name, const ModelConfig& c,
                 const TransformerTraits& traits) {
  const int64_t H = c.hidden_size, I = c.intermediate_size, D = c.head_dim;
  const int64_t QD = c.num_attention_heads * D, KD = c.num_key_value_heads * D;
  const std::string attention = name + ".self_attn.", mlp = name + ".mlp.";
  const double scale =
      traits.attention_scale > 0 ? traits.attention_scale : 1 / std::sqrt(static_cast<double>(D));
  return {make.parameter(name + ".input_layernorm.weight", {H}),
          make.parameter(name + ".post_attention_layernorm.weight", {H}),
          {D, scale, make.linear(attention + "q_proj", QD, H, traits.qkv_bias),
           make.linear(attention + "k_proj", KD, H, traits.qkv_bias),
           make.linear(attention + "v_proj", KD, H, traits.qkv_bias),
           make.linear(attention + "o_proj", H, QD, traits.output_bias)},
          {make.linear(mlp + "gate_proj", I, H, traits.mlp_bias),
           make.linear(mlp + "up_proj", I, H, traits.mlp_bias),
           make.linear(mlp + "down_proj", H, I, traits.mlp_bias)}};
}

void check(const ModelConfig& c) {
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

int64_t longest_document(const std::vector<int64_t>& cu_seqlens) {
  int64_t longest = 0;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    longest = std::max(longest, cu_seqlens[d + 1] - cu_seqlens[d]);
  }
  return longest;
}

// Positions of the new tokens when document d goes on where caches[d] ends, and the first position
// beyond all of them.
std::pair<at::Tensor, int64_t> continued_positions(const Batch& batch,
                                                   std::span<KvCache* const> caches) {
  std::vector<int64_t> positions;
  int64_t limit = 0;
  for (size_t d = 0; d < caches.size(); ++d) {
    const int64_t count = batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
    const int64_t end = caches[d]->length + count;
    if (end > caches[d]->capacity) {
      throw std::invalid_argument("a KV cache of capacity " + std::to_string(caches[d]->capacity) +
                                  " cannot hold " + std::to_string(end) + " tokens");
    }
    for (int64_t p = caches[d]->length; p < end; ++p) positions.push_back(p);
    limit = std::max(limit, end);
  }
  return {at::tensor(positions, at::kLong).to(batch.tokens.device()), limit};
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, const TransformerTraits& traits,
                         at::ScalarType dtype, at::Device device)
    : config_(config), rotary_(rotary_frequencies(config), device) {
  check(config);
  const Maker make{at::TensorOptions().dtype(dtype).device(device)};
  embedding_ = make.parameter("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    blocks_.push_back(make_block(make, "model.layers." + std::to_string(i), config, traits));
  }
  norm_ = make.parameter("model.norm.weight", {config.hidden_size});
  if (!config.tie_word_embeddings) {
    head_ = make.parameter("lm_head.weight", {config.vocab_size, config.hidden_size});
  }
}

std::vector<Parameter*> Transformer::parameters() {
  std::vector<Parameter*> all{&embedding_};
  for (Block& block : blocks_) block.list(all);
  all.push_back(&norm_);
  if (head_) all.push_back(&*head_);
  return all;
}

// The residual stream x and what the last part wants added to it travel apart, so that each
// addition is one pass with the norm that follows it.
at::Tensor Transformer::run(const at::Tensor& tokens_T, const Documents& documents,
                            std::vector<at::Tensor>* states) {
  const double eps = config_.rms_norm_eps;
  at::Tensor x_TH = embedding(tokens_T, embedding_), delta_TH, normed_TH;
  const auto add_and_norm = [&](Parameter& weight) {
    if (!delta_TH.defined()) {
      normed_TH = rms_norm(x_TH, weight, eps);
    } else {
      const AddedAndNormed next = add_rms_norm(x_TH, delta_TH, weight, eps);
      x_TH = next.sum_TH;
      normed_TH = next.normed_TH;
    }
  };
  for (size_t i = 0; i < blocks_.size(); ++i) {
    add_and_norm(blocks_[i].attention_norm);
    if (states != nullptr) states->push_back(x_TH);
    delta_TH = blocks_[i].attention(normed_TH, documents, static_cast<int64_t>(i));
    add_and_norm(blocks_[i].mlp_norm);
    delta_TH = blocks_[i].mlp(normed_TH);
  }
  add_and_norm(norm_);
  if (states != nullptr) states->insert(states->end(), {x_TH, normed_TH});
  return normed_TH;
}

at::Tensor Transformer::hidden(const Batch& batch) {
  const RotaryAngles angles = rotary_.at(batch.positions, longest_document(batch.cu_seqlens));
  return run(batch.tokens, {batch.cu_seqlens, angles, {}}, nullptr);
}

std::vector<at::Tensor> Transformer::hidden_states(const Batch& batch) {
  std::vector<at::Tensor> states;
  const RotaryAngles angles = rotary_.at(batch.positions, longest_document(batch.cu_seqlens));
  run(batch.tokens, {batch.cu_seqlens, angles, {}}, &states);
  return states;
}

at::Tensor Transformer::hidden(const Batch& batch, std::span<KvCache* const> caches) {
  const at::NoGradGuard no_grad;
  if (caches.size() + 1 != batch.cu_seqlens.size()) {
    throw std::logic_error("hidden: " + std::to_string(caches.size()) + " caches for " +
                           std::to_string(batch.cu_seqlens.size() - 1) + " documents");
  }
  if (caches.empty()) return hidden(batch);
  const auto [positions, limit] = continued_positions(batch, caches);
  const at::Tensor out =
      run(batch.tokens, {batch.cu_seqlens, rotary_.at(positions, limit), caches}, nullptr);
  for (size_t d = 0; d < caches.size(); ++d) {
    caches[d]->length += batch.cu_seqlens[d + 1] - batch.cu_seqlens[d];
  }
  return out;
}

at::Tensor Transformer::log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) {
  return head_log_probs(hidden_NH, head(), targets_N);
}

at::Tensor Transformer::logits(const at::Tensor& hidden_NH) {
  const at::NoGradGuard no_grad;
  return product(hidden_NH, head().value).to(at::kFloat);
}

}  // namespace lathe

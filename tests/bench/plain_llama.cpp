#include "tests/bench/plain_llama.h"

namespace lathe {
namespace {

at::Tensor turn(const at::Tensor& x_TND, const at::Tensor& cos, const at::Tensor& sin) {
  const std::vector<at::Tensor> halves = x_TND.chunk(2, -1);
  return x_TND * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

}  // namespace

PlainLlama::PlainLlama(Model& model) : config_(model.config()) {
  for (Parameter* p : model.parameters()) {
    leaves_[p->name] = p->value.detach().set_requires_grad(true);
  }
}

at::Tensor PlainLlama::norm(const at::Tensor& x, const std::string& name) const {
  return at::rms_norm(x, {config_.hidden_size}, weight(name), config_.rms_norm_eps);
}

at::Tensor PlainLlama::attend(const at::Tensor& x, const std::string& block,
                              const Batch& batch) const {
  const int64_t T = x.size(0), D = config_.head_dim;
  const at::Tensor frequency = at::pow(config_.rope_theta, -at::arange(0, D, 2, at::kFloat) / D);
  const at::Tensor angle = at::outer(batch.positions.to(at::kFloat), frequency).repeat({1, 2});
  const at::Tensor cos = angle.cos().unsqueeze(1).to(x.scalar_type());
  const at::Tensor sin = angle.sin().unsqueeze(1).to(x.scalar_type());
  const auto heads = [&](const char* which) {
    return at::linear(x, weight(block + ".self_attn." + which + "_proj.weight")).view({T, -1, D});
  };
  std::vector<int64_t> lengths;
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    lengths.push_back(batch.cu_seqlens[d + 1] - batch.cu_seqlens[d]);
  }
  const auto q = turn(heads("q"), cos, sin).split_with_sizes(lengths);
  const auto k = turn(heads("k"), cos, sin).split_with_sizes(lengths);
  const auto v = heads("v").split_with_sizes(lengths);
  std::vector<at::Tensor> out;
  const auto first = [](const at::Tensor& t) { return t.transpose(0, 1).unsqueeze(0); };
  for (size_t d = 0; d < lengths.size(); ++d) {
    out.push_back(
        at::scaled_dot_product_attention(first(q[d]), first(k[d]), first(v[d]), {}, 0.0, true)
            .squeeze(0)
            .transpose(0, 1)
            .flatten(1));
  }
  return at::linear(at::cat(out, 0), weight(block + ".self_attn.o_proj.weight"));
}

void PlainLlama::step(const Batch& batch) {
  at::Tensor x = at::embedding(weight("model.embed_tokens.weight"), batch.tokens);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string block = "model.layers." + std::to_string(i);
    x = x + attend(norm(x, block + ".input_layernorm.weight"), block, batch);
    const at::Tensor y = norm(x, block + ".post_attention_layernorm.weight");
    const at::Tensor gate = at::linear(y, weight(block + ".mlp.gate_proj.weight"));
    const at::Tensor up = at::linear(y, weight(block + ".mlp.up_proj.weight"));
    x = x + at::linear(at::silu(gate) * up, weight(block + ".mlp.down_proj.weight"));
  }
  const bool tied = config_.tie_word_embeddings;
  const at::Tensor head = weight(tied ? "model.embed_tokens.weight" : "lm_head.weight");
  const at::Tensor logits = at::linear(norm(x, "model.norm.weight"), head).to(at::kFloat);
  at::cross_entropy_loss(logits, batch.targets).backward();
}

}  // namespace lathe

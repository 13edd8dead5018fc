#pragma once

#include "trainer/model.h"
#include "trainer/models/blocks.h"

// The decoder that all families are: embedding, blocks on a residual stream, last norm, vocabulary
// head. A family says by its traits where it differs.
namespace lathe {

struct TransformerTraits {
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  double attention_scale = 0;  // 0: 1 / sqrt(head_dim)
};

class Transformer final : public Model {
 public:
  Transformer(const ModelConfig& config, const TransformerTraits& traits, at::ScalarType dtype,
              at::Device device);
  Transformer(const Transformer&) = delete;

  const ModelConfig& config() const override { return config_; }
  std::vector<Parameter*> parameters() override;
  at::Tensor hidden(const Batch& batch) override;
  at::Tensor hidden(const Batch& batch, std::span<KvCache* const> caches) override;
  at::Tensor log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) override;
  at::Tensor logits(const at::Tensor& hidden_NH) override;

  // [T, H] each: the input of the first block, the output of every block, and after the last norm.
  std::vector<at::Tensor> hidden_states(const Batch& batch);

 private:
  at::Tensor run(const at::Tensor& tokens_T, const Documents& documents,
                 std::vector<at::Tensor>* states);
  Parameter& head() { return config_.tie_word_embeddings ? embedding_ : *head_; }

  ModelConfig config_;
  RotaryTable rotary_;
  Parameter embedding_, norm_;     // [V, H], [H]
  std::optional<Parameter> head_;  // [V, H]; absent when tied
  std::vector<Block> blocks_;
};

}  // namespace lathe

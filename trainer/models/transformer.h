#pragma once

#include <utility>

#include "trainer/kernels/head.h"
#include "trainer/model.h"
#include "trainer/models/parts.h"

// The decoder that all families are: embedding, blocks on a residual stream, last norm, vocabulary
// head. A family says by the parts where it differs.
namespace lathe {

class Transformer final : public Model {
 public:
  Transformer(const ModelConfig& config, TransformerParts parts);
  Transformer(const Transformer&) = delete;

  const ModelConfig& config() const override { return config_; }
  std::vector<Parameter*> parameters() override;
  std::vector<LinearLayer*> linear_layers() override;
  std::vector<std::vector<Parameter*>> units() override;
  void set_sharding(Sharding* sharding) override { sharding_ = sharding; }
  const TensorParallel& tensor_parallel() const override { return parts_.tp; }
  int64_t num_kv_heads() const override { return parts_.blocks.front().attention.num_kv_heads; }
  void set_noise(std::optional<StepNoise> noise) override { noise_ = noise; }
  void set_checkpointing(Checkpointing mode) override;
  at::Tensor hidden(const Batch& batch) override;
  at::Tensor hidden(const Batch& batch, LayerStates& states) override;
  at::Tensor hidden(const Batch& batch, std::span<KvCache* const> caches) override;
  at::Tensor log_probs(const at::Tensor& hidden_NH, const at::Tensor& targets_N) override;
  TokenStatistics token_statistics(const at::Tensor& hidden_NH,
                                   const at::Tensor& targets_N) override;
  at::Tensor logit_losses(const at::Tensor& hidden_NH, const LogitLoss& loss) override;
  at::Tensor logits(const at::Tensor& hidden_NH) override;
  void keep_head(bool keep) override;
  at::Tensor take_auxiliary_loss() override { return std::exchange(auxiliary_loss_, {}); }

 private:
  // Whether what documents share is the same in all of them.
  bool can_share(const Batch& batch, const std::vector<int64_t>& lengths) const;
  at::Tensor run(const Batch& batch, const at::Tensor& positions_T,
                 const std::vector<int64_t>& lengths, std::span<KvCache* const> caches,
                 LayerStates* states);
  at::Tensor embedded(const Batch& batch, const at::Tensor& positions_T,
                      const std::vector<int64_t>& lengths, const at::Tensor& keys_T);
  HeadOutputs head_outputs_of(const at::Tensor& hidden_NH, const at::Tensor& targets_N,
                              bool with_mean);
  Parameter& head() { return parts_.head ? *parts_.head : parts_.embedding; }
  int last_unit() const { return static_cast<int>(parts_.blocks.size()) + 1; }
  int head_unit() const { return parts_.head ? last_unit() : 0; }

  ModelConfig config_;
  TransformerParts parts_;
  std::optional<DocumentAngles> rotary_, local_rotary_;
  at::Tensor auxiliary_loss_;
  std::optional<StepNoise> noise_;
  Sharding* sharding_ = nullptr;
  bool keeps_head_ = false;
  Checkpointing checkpointing_ = Checkpointing::kOff;
};

}  // namespace lathe

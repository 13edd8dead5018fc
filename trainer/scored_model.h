#pragma once

#include <memory>
#include <string>

#include "trainer/model.h"

// A model that gives a text one number instead of probabilities of tokens: Hugging Face's
// ...ForSequenceClassification with num_labels 1. In its folder score.weight [1, H] stands in the
// place of the vocabulary head, which it does not have.
namespace lathe {

class ScoredModel final : public Model {
 public:
  // A folder of such a model, or of a language model, whose head is left behind; then score.weight
  // is drawn from the seed.
  static std::unique_ptr<ScoredModel> load(const std::string& folder, at::ScalarType dtype,
                                           at::Device device, uint64_t seed,
                                           const TensorParallel& tp = {});
  // The same around a model that was made otherwise and has no head of its own.
  ScoredModel(std::unique_ptr<Model> body, const ModelConfig& config, uint64_t seed);

  // [D] float32: of each document of the batch, read at its last token.
  at::Tensor scores(const Batch& batch);

  const ModelConfig& config() const override { return config_; }
  std::vector<Parameter*> parameters() override;
  std::vector<LinearLayer*> linear_layers() override { return body_->linear_layers(); }
  void set_noise(std::optional<StepNoise> noise) override { body_->set_noise(noise); }
  void set_checkpointing(Checkpointing mode) override { body_->set_checkpointing(mode); }
  std::vector<std::vector<Parameter*>> units() override;
  void set_sharding(Sharding* sharding) override;
  const TensorParallel& tensor_parallel() const override { return body_->tensor_parallel(); }
  int64_t num_kv_heads() const override { return body_->num_kv_heads(); }
  at::Tensor hidden(const Batch& batch) override { return body_->hidden(batch); }
  at::Tensor hidden(const Batch& batch, LayerStates& states) override {
    return body_->hidden(batch, states);
  }
  at::Tensor hidden(const Batch& batch, std::span<KvCache* const> caches) override {
    return body_->hidden(batch, caches);
  }
  at::Tensor take_auxiliary_loss() override { return body_->take_auxiliary_loss(); }
  // There is no vocabulary head to ask: std::logic_error.
  at::Tensor log_probs(const at::Tensor&, const at::Tensor&) override;
  TokenStatistics token_statistics(const at::Tensor&, const at::Tensor&) override;
  at::Tensor logit_losses(const at::Tensor&, const LogitLoss&) override;
  at::Tensor logits(const at::Tensor&) override;
  void keep_head(bool) override;

 private:
  std::unique_ptr<Model> body_;
  Sharding* sharding_ = nullptr;
  ModelConfig config_;
  Parameter score_;
};

// The config of a model of this kind, from a language model's.
ModelConfig scored_config(ModelConfig config);

}  // namespace lathe

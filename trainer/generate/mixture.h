#pragma once

#include "trainer/model.h"
#include "trainer/objective/distill.h"

namespace lathe {

// A student and its teacher that generate as one: the next token is drawn from
// alpha p + (1 - alpha) q, p the teacher's distribution and q the student's, over the `vocabulary`
// ids that both know. It can do what generate() asks of a model, and nothing else
// (std::logic_error). Both outlive it.
class MixtureModel final : public Model {
 public:
  MixtureModel(Model& student, TeacherModel teacher, double alpha, int64_t vocabulary)
      : student_(student), teacher_(teacher), alpha_(alpha), vocabulary_(vocabulary) {}

  const ModelConfig& config() const override { return student_.config(); }
  std::vector<Parameter*> parameters() override { return student_.parameters(); }
  // The student's, with the teacher's as its companion.
  KvCache make_cache(int64_t capacity) override;
  at::Tensor hidden(const Batch& batch, std::span<KvCache* const> caches) override;
  at::Tensor logits(const at::Tensor& hidden_NH) override;  // log-probabilities
  const TensorParallel& tensor_parallel() const override { return student_.tensor_parallel(); }
  int64_t num_kv_heads() const override { return student_.num_kv_heads(); }

  at::Tensor hidden(const Batch&) override { refuse(); }
  at::Tensor hidden(const Batch&, LayerStates&) override { refuse(); }
  std::vector<LinearLayer*> linear_layers() override { refuse(); }
  std::vector<std::vector<Parameter*>> units() override { refuse(); }
  void set_sharding(Sharding*) override { refuse(); }
  void set_noise(std::optional<StepNoise>) override { refuse(); }
  void set_checkpointing(Checkpointing) override { refuse(); }
  at::Tensor log_probs(const at::Tensor&, const at::Tensor&) override { refuse(); }
  TokenStatistics token_statistics(const at::Tensor&, const at::Tensor&) override { refuse(); }
  at::Tensor logit_losses(const at::Tensor&, const LogitLoss&) override { refuse(); }
  void keep_head(bool) override { refuse(); }

 private:
  [[noreturn]] static void refuse();

  Model& student_;
  TeacherModel teacher_;
  double alpha_;
  int64_t vocabulary_;
};

}  // namespace lathe

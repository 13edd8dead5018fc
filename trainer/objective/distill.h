#pragma once

#include <functional>

#include "parallel/group.h"
#include "trainer/console.h"
#include "trainer/lora.h"
#include "trainer/objective/distill_config.h"
#include "trainer/objective/minillm.h"
#include "trainer/objective/objective.h"

// Learning from a teacher's distributions: per target
//   ce_weight x cross entropy + (1 - ce_weight) x divergence of student and teacher,
// and what is said about layers (trainer/objective/layer_terms.h).
// Neither model's logits exist for all positions at once.
namespace lathe {

class CrossVocabulary;  // trainer/objective/cross_vocabulary.h
class LayerTerms;       // trainer/objective/layer_terms.h

// A frozen model: one of its own, or the student with its adapters off.
struct TeacherModel {
  Model* model = nullptr;
  Lora* adapters = nullptr;  // of the student, when that is the teacher

  // states: what its layers are to show, or null.
  at::Tensor hidden(const Batch& batch, LayerStates* states = nullptr) const;
  at::Tensor logits(const at::Tensor& hidden_NH) const;
  // Whatever else it is to do, as it is.
  void run(const std::function<void(Model&)>& work) const;
};

class DistillLoss {
 public:
  // vocabulary: ids that both models know, which may have padded heads. The teacher: a model, or
  // none where batches bring its rows. cross: where it has another tokenizer than the student,
  // whose ids the vocabulary then is; targets that nothing stands beside have cross entropy alone.
  // layers: where they have a say, of a model that is asked.
  DistillLoss(DistillConfig config, int64_t vocabulary, TeacherModel teacher,
              const CrossVocabulary* cross = nullptr, LayerTerms* layers = nullptr);
  LossSum operator()(Model& student, const Batch& batch);
  // Cross entropy alone, for evaluation, while the divergence is measured besides.
  LossSum cross_entropy_of(Model& student, const Batch& batch);
  // Means over the targets since the last call; every rank calls it.
  MetricRow take_metrics(Group& group, bool evaluation);

 private:
  // What the chunks of a batch read besides the student's logits. Of all N targets.
  struct Targets {
    at::Tensor ids_N;
    at::Tensor teacher_NH;  // where the teacher is asked
    TeacherRows rows;       // else
    at::Tensor compared_N;  // with another tokenizer: whether the teacher has a say in it
    PolicyTerms policy;     // of minillm, on the student's own answers
    double ce_weight = 0;
  };

  LossSum run(Model& student, const Batch& batch, double ce_weight);
  PolicyTerms policy_of(Model& student, const Batch& batch, const at::Tensor& hidden_NH,
                        const Targets& targets) const;
  ChunkLoss chunk(const at::Tensor& logits_CV, const ChunkRequest& request, const Targets& targets);
  ChunkLoss divergence_of_chunk(const at::Tensor& student_CV, const ChunkRequest& request,
                                const Targets& targets, at::Tensor& teacher_best_C) const;
  ChunkLoss with_policy(const ChunkLoss& divergence, const at::Tensor& student_CV,
                        const ChunkRequest& request, const Targets& targets) const;
  ChunkLoss across(const at::Tensor& student_CV, const at::Tensor& teacher_CW,
                   const at::Tensor& compared_C, bool with_gradient,
                   at::Tensor& teacher_best_C) const;
  void measure(const at::Tensor& divergence_C, const at::Tensor& ce_C, const at::Tensor& agree_C,
               const at::Tensor& compared_C);

  DistillConfig config_;
  int64_t vocabulary_;
  TeacherModel teacher_;
  const CrossVocabulary* cross_;
  LayerTerms* layers_;
  // Targets, divergence, cross entropy, agreement, targets compared: training, evaluation.
  at::Tensor sums_[2];
  bool evaluation_ = false;
};

}  // namespace lathe

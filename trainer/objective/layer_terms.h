#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/group.h"
#include "trainer/console.h"
#include "trainer/model.h"
#include "trainer/objective/distill_config.h"

// What distillation says about layers: a student's hidden states and attention maps are drawn to
// those of the teacher's layers that they are paired with. Where hidden sizes differ, a matrix for
// each pair takes the student's states to the teacher's size; it is trained with the student and is
// no part of it.
namespace lathe {

// By the numbers of LayerStates.
struct LayerPair {
  int64_t student = 0, teacher = 0;
};

// distill.layer_map, read: "student:teacher". std::invalid_argument says what is wrong with it.
// None given: each block of the student's with that as far up the teacher.
std::vector<LayerPair> layer_pairs(const std::vector<std::string>& layer_map,
                                   int64_t student_layers, int64_t teacher_layers);

class LayerTerms {
 public:
  // std::invalid_argument for models that can not be compared so. The projections depend on the
  // seed and their layer only.
  LayerTerms(const DistillConfig& config, Model& student, const ModelConfig& teacher,
             uint64_t seed);
  LayerTerms(const LayerTerms&) = delete;

  const std::vector<LayerPair>& pairs() const { return pairs_; }
  // Of the projections, for the Sharding (shard_model), which is then to be told of.
  std::vector<Parameter*> parameters();
  void set_sharding(Sharding* sharding) { sharding_ = sharding; }

  // What the forwards are to show.
  LayerStates student_states() const { return wanted(true); }
  LayerStates teacher_states() const { return wanted(false); }

  // hidden_weight x distance of hidden states + attention_weight x distance of attention maps, each
  // a mean over the pairs, summed over the targets with their weights: [] float64.
  at::Tensor operator()(const LayerStates& student, const LayerStates& teacher, const Batch& batch,
                        bool evaluation);
  // Means over the targets since the last call; every rank calls it.
  void take_metrics(Group& group, bool evaluation, MetricRow& into);

 private:
  LayerStates wanted(bool student) const;
  at::Tensor hidden_sum(const LayerStates& student, const LayerStates& teacher, const Batch& batch);
  at::Tensor attention_sum(const LayerStates& student, const LayerStates& teacher,
                           const Batch& batch) const;

  DistillConfig config_;
  TensorParallel tp_;
  int64_t num_heads_;
  int unit_;  // of the projections
  Sharding* sharding_ = nullptr;
  std::vector<LayerPair> pairs_, maps_;                  // those of attention have no embedding
  std::vector<std::unique_ptr<Parameter>> projections_;  // of each pair, or none
  at::Tensor sums_[2];  // hidden, attention, targets: training, evaluation
};

}  // namespace lathe

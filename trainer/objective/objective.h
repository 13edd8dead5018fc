#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "data/loader/batch.h"
#include "trainer/config.h"
#include "trainer/model.h"

// What is minimised: (model, batch) -> the sum of the loss over the batch's targets and their
// number. Never averages, never calls backward; the trainer divides by the global count of the
// whole step.
namespace lathe {

struct LossSum {
  at::Tensor sum;     // [] float32, differentiable
  int64_t count = 0;  // targets it runs over
};

using Objective = std::function<LossSum(Model&, const Batch&)>;

// Weighted cross entropy of the targets: - sum_t weights[t] log p(targets[t]). Positions without a
// target never reach the head.
LossSum cross_entropy(Model& model, const Batch& batch);

// sum of a batch's losses, with the model's own loss on top (Model::take_auxiliary_loss).
LossSum with_auxiliary_loss(at::Tensor sum, Model& model, const Batch& batch);

struct LossConfig {
  std::string loss_type = "nll";
  double label_smoothing_factor = 0;
  double z_loss = 0;
};

template <class V>
void fields(V& v, LossConfig& c) {
  v("loss_type", c.loss_type,
    "nll: cross entropy; dft: each target's times its own probability, held constant "
    "(arXiv:2508.05629)",
    one_of({"nll", "dft"}));
  v("label_smoothing_factor", c.label_smoothing_factor,
    "share of the target that is spread over the whole vocabulary", between(0, 1));
  v("z_loss", c.z_loss, "times the square of the logarithm of the softmax's denominator",
    at_least(0));
}

// Cross entropy as the config has it: per target
//   (1 - s) nll + s (mean over the vocabulary of -log p) + z log(Z)^2, dft: p nll in nll's place.
Objective token_loss(const LossConfig& config);

}  // namespace lathe

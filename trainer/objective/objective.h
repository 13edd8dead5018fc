#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "data/loader/batch.h"
#include "trainer/model.h"

// What is minimised: (model, batch) -> the sum of the loss over the batch's targets and their number. Never averages,
// never calls backward; the trainer divides by the global count of the whole step.
namespace lathe {

struct LossSum {
  at::Tensor sum;     // [] float32, differentiable
  int64_t count = 0;  // targets it runs over
};

using Objective = std::function<LossSum(Model&, const Batch&)>;

// Weighted cross entropy of the targets: - sum_t weights[t] log p(targets[t]). Positions without a target never reach the head.
LossSum cross_entropy(Model& model, const Batch& batch);

}  // namespace lathe

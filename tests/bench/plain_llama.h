#pragma once

#include <ATen/ATen.h>

#include "data/loader/batch.h"
#include "trainer/model.h"

// The llama as one would write it with ATen's operations and plain autograd: what bench_model
// measures against.
namespace lathe {

class PlainLlama {
 public:
  // Shares the weights of `model`, as leaves of its own.
  explicit PlainLlama(Model& model);
  // Mean cross entropy of the micro-batch, and its backward into the leaves' grad().
  void step(const Batch& batch);

 private:
  at::Tensor weight(const std::string& name) const { return leaves_.at(name); }
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor attend(const at::Tensor& x, const std::string& block, const Batch& batch) const;

  ModelConfig config_;
  std::map<std::string, at::Tensor> leaves_;
};

}  // namespace lathe

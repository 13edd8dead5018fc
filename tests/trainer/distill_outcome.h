#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parallel/sharding.h"
#include "tests/tiny.h"
#include "trainer/objective/distill.h"

// What distillation of a tiny student from a tiny teacher comes to, in one batch.
namespace lathe {

inline DistillConfig with(const std::string& divergence, double temperature = 1) {
  DistillConfig config;
  config.divergence = divergence;
  config.temperature = temperature;
  return config;
}

inline at::Tensor all_gradients(Model& model) {
  std::vector<at::Tensor> grads;
  for (const Parameter* parameter : model.parameters()) grads.push_back(parameter->grad.flatten());
  return at::cat(grads).clone();
}

inline Batch tiny_batch() {
  TinyData data{.rows_per_micro_batch = 4};
  return tiny_batches(data).next()[0];
}

struct Outcome {
  double loss;
  at::Tensor gradients;
  MetricRow metrics;
};

inline Outcome outcome_of(DistillConfig config, const Batch& batch, Mesh& mesh,
                          int64_t vocabulary = 37) {
  const auto student = tiny_model(at::kFloat, 1), teacher = tiny_model(at::kFloat, 2);
  for (Parameter* p : teacher->parameters()) p->value.requires_grad_(false);
  const auto sharding = make_sharding(0, student->parameters(), mesh);
  DistillLoss loss(config, vocabulary, {teacher.get()});
  const LossSum sum = loss(*student, batch);
  EXPECT_EQ(sum.count, batch.num_targets);
  sum.sum.backward();
  return {sum.sum.item<double>(), all_gradients(*student), loss.take_metrics(mesh.dp(), false)};
}

}  // namespace lathe

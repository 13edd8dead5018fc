#pragma once

#include <gmock/gmock.h>

#include "tests/shared.h"
#include "tests/trainer/kernel_check.h"
#include "trainer/hf_weights.h"
#include "trainer/model.h"
#include "trainer/objective/objective.h"
#include "trainer/safetensors.h"

// What the parity tests of all families share: a tiny model of ../shared/fixtures/models, its
// batches without padding, and the comparison of gradients.
namespace lathe {

inline std::map<std::string, at::Tensor> read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::map<std::string, at::Tensor> all;
  for (const auto& [name, entry] : file.entries()) all[name] = file.tensor(name).clone();
  return all;
}

// model.safetensors or its shards.
inline std::map<std::string, at::Tensor> read_weights(const std::string& folder) {
  const WeightFiles files(folder);
  std::map<std::string, at::Tensor> all;
  for (const std::string& name : files.names()) all[name] = files.tensor(name).clone();
  return all;
}

inline std::unique_ptr<Model> load_fixture(const std::string& folder, at::ScalarType dtype) {
  std::unique_ptr<Model> model = make_model(read_model_config(folder), dtype, at::kCPU);
  std::map<std::string, at::Tensor> weights = read_weights(folder);
  const at::NoGradGuard no_grad;
  for (Parameter* p : model->parameters()) {
    EXPECT_EQ(weights.count(p->name), 1u) << p->name;
    p->value.copy_(weights.at(p->name));
    p->grad = at::zeros(p->value.sizes(), at::kFloat);
    weights.erase(p->name);
  }
  EXPECT_TRUE(weights.empty());
  return model;
}

// ids and labels as transformers has them: labels[i] is the target of position i - 1.
struct Document {
  std::vector<int64_t> ids, labels;
};

inline Batch batch_of(const std::vector<Document>& documents) {
  std::vector<int64_t> tokens, targets, positions;
  Batch batch;
  batch.cu_seqlens = {0};
  for (const Document& d : documents) {
    for (size_t i = 0; i < d.ids.size(); ++i) {
      tokens.push_back(d.ids[i]);
      targets.push_back(i + 1 < d.ids.size() && !d.labels.empty() ? d.labels[i + 1] : kIgnore);
      positions.push_back(static_cast<int64_t>(i));
      batch.num_targets += targets.back() != kIgnore;
    }
    batch.cu_seqlens.push_back(static_cast<int64_t>(tokens.size()));
  }
  batch.tokens = at::tensor(tokens, at::kLong);
  batch.targets = at::tensor(targets, at::kLong);
  batch.positions = at::tensor(positions, at::kLong);
  batch.weights = (batch.targets != kIgnore).to(at::kFloat);
  return batch;
}

inline std::vector<int64_t> to_vector(const at::Tensor& t) {
  const at::Tensor c = t.to(at::kLong).contiguous();
  return {c.const_data_ptr<int64_t>(), c.const_data_ptr<int64_t>() + c.numel()};
}

// The padded rows of a fixture without their padding.
inline std::vector<Document> documents_of(const std::map<std::string, at::Tensor>& expected) {
  std::vector<Document> documents;
  const at::Tensor ids = expected.at("input_ids"), labels = expected.at("labels");
  for (int64_t row = 0; row < ids.size(0); ++row) {
    const int64_t length = expected.at("attention_mask")[row].sum().item<int64_t>();
    documents.push_back(
        {to_vector(ids[row].slice(0, 0, length)), to_vector(labels[row].slice(0, 0, length))});
  }
  return documents;
}

inline at::Tensor without_padding(const at::Tensor& x, const std::vector<Document>& documents) {
  std::vector<at::Tensor> rows;
  for (size_t d = 0; d < documents.size(); ++d) {
    rows.push_back(
        x[static_cast<int64_t>(d)].slice(0, 0, static_cast<int64_t>(documents[d].ids.size())));
  }
  return at::cat(rows, 0);
}

inline std::string folder_of(const std::string& fixture) {
  return shared_path("fixtures/models/" + fixture);
}

inline double worst(const at::Tensor& got, const at::Tensor& expected) {
  return (got.detach().to(at::kFloat) - expected).abs().max().item<double>();
}

// Gradients of the mean loss in Parameter::grad; returns the loss.
inline double run_backward(Model& model, const Batch& batch) {
  for (Parameter* p : model.parameters()) p->grad.zero_();
  const LossSum loss = cross_entropy(model, batch);
  (loss.sum / static_cast<double>(loss.count)).backward();
  return loss.sum.item<double>() / static_cast<double>(loss.count);
}

inline void expect_gradients(Model& model, const std::map<std::string, at::Tensor>& expected,
                             const std::string& prefix) {
  for (Parameter* p : model.parameters()) {
    EXPECT_LT(difference(p->grad, expected.at(prefix + p->name)), 1e-4) << p->name;
    EXPECT_FALSE(p->value.grad().defined());
  }
}

}  // namespace lathe

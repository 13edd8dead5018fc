#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/shards/file.h"
#include "parallel/mesh.h"
#include "parallel/world.h"
#include "trainer/batch_source.h"
#include "trainer/model.h"

// A tiny model and tiny data, made in milliseconds.
namespace lathe {

// Threads as ranks, all of them on the dp axis, with one thread of work each: tiny tensors gain
// nothing from more, and waiting for one another on a busy machine takes longer than the work.
inline void on_ranks(int ranks, const std::function<void(Mesh&)>& body) {
  WorldOptions options;
  options.backend = "local";
  options.ranks = ranks;
  options.threads_per_rank = 1;
  run_world(options, [&](std::unique_ptr<Group> group) {
    Mesh mesh(std::move(group), {});
    body(mesh);
  });
}

// A llama of about 3,000 parameters.
inline std::unique_ptr<Model> tiny_model(at::ScalarType dtype = at::kFloat, uint64_t seed = 1) {
  ModelConfig config;
  config.model_type = "llama";
  config.vocab_size = 37;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 8;
  config.max_position_embeddings = 64;
  config.initializer_range = 0.1;
  std::unique_ptr<Model> model = make_model(config, dtype, at::kCPU);
  initialize(*model, seed);
  return model;
}

// Every weight of the model, one after another.
inline at::Tensor all_weights(Model& model) {
  std::vector<at::Tensor> values;
  for (const Parameter* parameter : model.parameters())
    values.push_back(parameter->value.detach().flatten());
  return at::cat(values).clone();
}

struct TinyData {
  int64_t rows_per_epoch = 12;
  int64_t rows_per_micro_batch = 2, micro_batches = 1;
  int rank = 0, size = 1;
  LoaderState position = {};
  std::vector<int64_t> taken = {};  // epoch * 1000 + row of every row that this rank took, in order
};

// Row r of epoch e: 4 to 10 tokens, of which the first half is not trained; row 5 of each epoch has
// no target at all.
inline std::pair<std::vector<int64_t>, std::vector<uint8_t>> tiny_row(int64_t epoch, int64_t row) {
  uint64_t state = 1 + static_cast<uint64_t>(epoch * 1000 + row);
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>(state >> 33);
  };
  std::vector<int64_t> tokens(4 + next() % 7);
  std::vector<uint8_t> trained(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = next() % 37;
    trained[i] = row != 5 && i >= tokens.size() / 2;
  }
  return {tokens, trained};
}

// The rows in order, dealt to the ranks in stretches. data must outlive the source.
inline BatchSource tiny_batches(TinyData& data) {
  const int64_t per_rank = data.rows_per_micro_batch * data.micro_batches,
                per_step = per_rank * data.size;
  const auto next = [&data, per_rank, per_step] {
    if (data.position.row >= data.rows_per_epoch) data.position = {data.position.epoch + 1, 0};
    std::vector<Batch> batches;
    for (int64_t m = 0; m < data.micro_batches; ++m) {
      std::vector<std::pair<std::vector<int64_t>, std::vector<uint8_t>>> rows;
      std::vector<DocumentView> documents;
      for (int64_t r = 0; r < data.rows_per_micro_batch; ++r) {
        const int64_t row =
            data.position.row + data.rank * per_rank + m * data.rows_per_micro_batch + r;
        if (row >= data.rows_per_epoch) break;
        rows.push_back(tiny_row(data.position.epoch, row));
        data.taken.push_back(data.position.epoch * 1000 + row);
      }
      for (const auto& [tokens, trained] : rows) {
        documents.push_back({tokens.data(), trained.data(), static_cast<int64_t>(tokens.size())});
      }
      batches.push_back(make_batch(documents));
    }
    data.position.row = std::min(data.position.row + per_step, data.rows_per_epoch);
    return batches;
  };
  return {.next = next,
          .state = [&data] { return data.position; },
          .seek = [&data](LoaderState state) { data.position = state; },
          .take_wait_seconds = [] { return 0.0; },
          .steps_per_epoch = (data.rows_per_epoch + per_step - 1) / per_step,
          .rows_per_epoch = data.rows_per_epoch};
}

}  // namespace lathe

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "trainer/generate/generate.h"
#include "trainer/kernels/product.h"

// Where products are the same bits in any company, so is all that is generated.
namespace lathe {
namespace {

std::unique_ptr<Model> make_tiny(const std::string& family, at::ScalarType type) {
  const ModelConfig config = parse_model_config(
      R"({"model_type": ")" + family + R"(", "vocab_size": 300, "hidden_size": 48,
          "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 24, "max_position_embeddings": 512,
          "sliding_window": 40, "initializer_range": 0.2})",
      family);
  std::unique_ptr<Model> model = make_model(config, type, at::kCPU);
  initialize(*model, 3);
  return model;
}

// Lengths from 1 to beyond what a pass takes, some with a common beginning.
std::vector<GenerateRequest> uneven_requests() {
  std::vector<GenerateRequest> requests;
  for (const int64_t length : {1, 9, 33, 150, 151, 40, 300, 2, 157, 64, 65, 290}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i) request.prompt.push_back((i * i + (length % 2) * 7) % 300);
    request.options.max_new_tokens = 3 + length % 11;
    request.options.temperature = length % 3 == 0 ? 0 : 1;
    request.options.seed = static_cast<uint64_t>(length);
    requests.push_back(request);
  }
  return requests;
}

TEST(GenerateBits, AreTheSameForAnyBatchOrderAndNumberOfThreads) {
  int compared = 0;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const char* family : {"llama", "gemma2"}) {
      const auto model = make_tiny(family, type);
      if (max_tile_tokens(model->parameters()[0]->value) < 64) {
        GTEST_SKIP() << "NOT RUN: needs AVX512 and no AMX";
      }
      std::vector<GenerateRequest> requests = uneven_requests();
      at::set_num_threads(1);
      std::vector<GenerateResult> alone;
      for (const GenerateRequest& request : requests)
        alone.push_back(generate(*model, {request})[0]);
      for (const auto& [threads, max_batch] :
           std::vector<std::pair<int, int64_t>>{{1, 1}, {1, 3}, {1, 64}, {2, 64}}) {
        at::set_num_threads(threads);
        const auto together = generate(*model, requests, {.max_batch = max_batch});
        for (size_t i = 0; i < requests.size(); ++i, ++compared) {
          EXPECT_EQ(together[i].ids, alone[i].ids) << family << i << " of " << max_batch;
          EXPECT_EQ(together[i].logprobs, alone[i].logprobs) << family << i;
        }
      }
      at::set_num_threads(1);
      std::reverse(requests.begin(), requests.end());
      const auto backwards = generate(*model, requests);
      for (size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ(backwards[i].logprobs, alone[requests.size() - 1 - i].logprobs) << family << i;
    }
  }
  EXPECT_EQ(compared, 2 * 2 * 4 * 12);
}

}  // namespace
}  // namespace lathe

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/model.h"

// Text out of a model: a KV cache per sequence, requests of different lengths together, greedy or sampled. What a
// request gets depends on its seed alone, not on what else is in the batch.
namespace lathe {

struct SamplingOptions {
  int64_t max_new_tokens = 128;
  double temperature = 0;  // 0: greedy
  int64_t top_k = 0;       // 0: off
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  std::vector<int64_t> stop_ids;
  uint64_t seed = 0;
};

struct GenerateRequest {
  std::vector<int64_t> prompt;
  SamplingOptions options;
};

struct GenerateResult {
  std::vector<int64_t> ids;  // new ones; a stop id that ended it is the last
  double logprob = 0;        // sum over ids, of the model's own distribution
  enum class Finish { kStop, kLength } finish = Finish::kLength;
};

// on_token(request, id) is called as ids come; may be empty. max_batch: sequences that run together.
std::vector<GenerateResult> generate(Model& model, const std::vector<GenerateRequest>& requests, int64_t max_batch = 64,
                                     const std::function<void(size_t, int64_t)>& on_token = {});

}  // namespace lathe

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "trainer/generate/sampler.h"
#include "trainer/model.h"

// Text out of a model: a KV cache per sequence, requests of different lengths together, greedy or
// sampled. One that finishes makes room for the next that waits. What a request gets depends on its
// seed alone, not on what else is in the batch (but for the rounding of the model's own
// arithmetic).
namespace lathe {

struct GenerateRequest {
  std::vector<int64_t> prompt;  // at least one id, at most max_position_embeddings
  SamplingOptions options;
};

struct GenerateResult {
  std::vector<int64_t> ids;  // new ones; a stop id that ended it is the last
  double logprob = 0;        // sum over ids, of the model's own distribution
  // kLength: max_new_tokens, or prompt and ids fill max_position_embeddings.
  enum class Finish { kStop, kLength } finish = Finish::kLength;
};

// Results in the order of the requests. on_token(request, id) is called as ids come; may be empty.
// max_batch: sequences that run together. std::invalid_argument names the request at fault, before
// any work.
std::vector<GenerateResult> generate(Model& model, const std::vector<GenerateRequest>& requests,
                                     int64_t max_batch = 64,
                                     const std::function<void(size_t, int64_t)>& on_token = {});

}  // namespace lathe

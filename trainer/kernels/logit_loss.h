#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

// A loss of whole rows of logits, where the probability of one target is not enough (another
// model's distribution, for one). Shape letters: C rows of a chunk, V vocabulary.
namespace lathe {

struct ChunkLoss {
  at::Tensor losses_C;    // float32
  at::Tensor dlogits_CV;  // float32: d losses_C[c] / d logits_CV[c]; undefined if not asked for
};

// logits_CV: float32, of rows begin .. begin + C. Called once for each chunk going forward, and
// once more in backward (is_again) for chunks whose gradient was not kept.
struct ChunkRequest {
  int64_t begin = 0;
  bool with_gradient = false, is_again = false;
};
using LogitLoss = std::function<ChunkLoss(const at::Tensor& logits_CV, const ChunkRequest&)>;

}  // namespace lathe

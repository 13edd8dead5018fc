#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/model.h"

// How far one model's attention maps are from another's. A map is what the softmax gives: of each
// head and token, a distribution over the tokens before it.
namespace lathe {

struct MapDistance {
  // KL(teacher||student) as in MiniLM (arXiv:2002.10957), or the mean square over the tokens that
  // are seen, as in TinyBERT (arXiv:1909.10351).
  bool kl = true;
  // The maps' means over the heads are compared, whose numbers may differ; else head by head.
  bool mean_heads = false;
  int64_t num_heads = 1;  // the student's, of all ranks of tp
  TensorParallel tp = {};
};

// The distances of the tokens, each a mean over the heads, times their weights [T], summed: []
// float64, the same at every rank of tp. Tokens of weight 0 are left out. Differentiable in the
// student's queries and keys. No more than a few MB of maps exist at a time: a document's tokens by
// chunks, which do not depend on what else is in the batch.
at::Tensor attention_map_loss(const LayerStates::Attention& student,
                              const LayerStates::Attention& teacher,
                              const std::vector<int64_t>& cu_seqlens, const at::Tensor& weights_T,
                              const MapDistance& distance);

}  // namespace lathe

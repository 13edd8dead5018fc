#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "parallel/layers.h"
#include "parallel/parameter.h"
#include "trainer/kernels/dispatch.h"

// The vocabulary head: log-probabilities of chosen tokens without ever holding [N, V]. Rows are
// done in chunks; backward computes a chunk's logits again, unless all of them fit in
// HeadOptions::keep_bytes. Softmax in float32, the weight's gradient summed in float32. Shape
// letters: N positions, H hidden size, V vocabulary.
namespace lathe {

struct HeadOptions {
  int64_t chunk_rows = 512;                 // fewer than 256 lose speed in the products
  int64_t keep_bytes = int64_t{256} << 20;  // of logits; saves a quarter of the head's products
  Path path = Path::kBest;
  double softcap = 0;  // logits become softcap * tanh(logits / softcap); 0: they stay
  // The ranks that the vocabulary is cut over, if it is: each has the logits of its rows, and the
  // hidden states' gradient is its summand.
  TensorParallel tp = {};
};

// Of num_rows in chunks of at most chunk_rows that are nearly equal: a chunk of a few rows would
// cost the weight's gradient as much as a full one.
inline int64_t even_chunk_rows(int64_t num_rows, int64_t chunk_rows) {
  const int64_t chunks = std::max<int64_t>(1, (num_rows + chunk_rows - 1) / chunk_rows);
  return std::max<int64_t>(1, (num_rows + chunks - 1) / chunks);
}

// logits -> softcap * tanh(logits / softcap), in place.
void cap_logits(at::Tensor& logits, double softcap, Path path = Path::kBest);

// [N] float32 each. mean_logit, over the vocabulary, only where it was asked for.
struct HeadOutputs {
  at::Tensor log_probs, log_z, mean_logit;
};

// log softmax at the targets, log sum exp of the logits, and their mean if with_mean.
HeadOutputs head_outputs(const at::Tensor& hidden_NH, Parameter& weight_VH,
                         const at::Tensor& targets_N, const HeadOptions& options, bool with_mean);

// hidden_NH, targets_N int64 -> [N] float32: log softmax(hidden W^T)[target]
at::Tensor head_log_probs(const at::Tensor& hidden_NH, Parameter& weight_VH,
                          const at::Tensor& targets_N, const HeadOptions& options = {});

}  // namespace lathe

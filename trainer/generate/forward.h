#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "trainer/model.h"

// Sequences that are being generated, read by the model together.
namespace lathe {

// One of them: what the cache does not hold of `ids` is read.
struct ReadableSequence {
  KvCache* cache;
  std::span<const int64_t> ids;  // prompt and what was generated; never all in the cache
  bool wants_logits = true;
};

// [sequences that want logits, V] float32 on the host: what comes after each one's last id. A
// sequence that grows into another regime of a length-dependent rotary scaling is read anew from
// its start.
at::Tensor next_logits(Model& model, const std::vector<ReadableSequence>& sequences);

}  // namespace lathe

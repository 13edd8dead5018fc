#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// One micro-batch: ONE flat row of tokens, documents end to end, no padding. Shapes: T tokens, D
// documents; T may be 0.
namespace lathe {

inline constexpr int64_t kIgnore = -100;  // "no target here", as in Hugging Face

struct Batch {
  at::Tensor tokens;   // [T] int64
  at::Tensor targets;  // [T] int64: the token that position t predicts (the next of its document),
                       // or kIgnore
  at::Tensor weights;  // [T] float32: weight of the target in the loss, 0 where there is none
  at::Tensor positions;  // [T] int64: restarts at 0 with every document
  std::vector<int64_t>
      cu_seqlens;  // [D+1], on the host: document d is tokens cu_seqlens[d] .. cu_seqlens[d+1]
  int64_t num_targets = 0;

  int64_t num_tokens() const { return tokens.numel(); }
  Batch to(at::Device device) const;
};

// One document: its ids and, for each id, whether it is trained (predicted by the id before it; the
// first never is).
struct DocumentView {
  const int64_t* tokens;
  const uint8_t* trained;  // null: all
  int64_t length;
};

// Lays documents end to end. Documents of length 0 are left out.
Batch make_batch(const std::vector<DocumentView>& documents);

}  // namespace lathe

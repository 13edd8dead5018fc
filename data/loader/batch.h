#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// One micro-batch: ONE flat row of tokens, documents end to end, no padding. Shapes: T tokens, D
// documents; T may be 0.
namespace lathe {

inline constexpr int64_t kIgnore = -100;  // "no target here", as in Hugging Face

// What batches of preferences hold besides. Pair p is documents 2p (chosen) and 2p + 1 (rejected);
// answers that are judged one by one (then there are labels) are documents of their own. P items.
struct Preferences {
  std::vector<int64_t> items;  // [P] numbers of the pairs (answers) over all data sets
  std::vector<float> labels;   // [P] 1: a good answer, 0: not
  at::Tensor reference_D;      // [D] float64: log-probabilities under the reference model
  // Of the whole step, over all ranks: trained tokens of chosen answers for each pair, and the
  // estimate of KTO's KL term.
  double chosen_tokens = 0, kl = 0;
};

// Another model's opinion of the targets: of each, the k likeliest ids and what is left for all
// others. N targets in order.
struct TeacherRows {
  at::Tensor ids_NK;    // [N, k] int64, likeliest first
  at::Tensor logp_NK;   // [N, k] float32: their log-probabilities over the full vocabulary
  at::Tensor tail_N;    // [N] float32: log of the probability of all others
  bool defined() const { return ids_NK.defined(); }
};

// Where a document of a batch comes from.
struct Origin {
  int64_t item = 0;   // its number over all data sets
  int64_t begin = 0;  // the token of it that comes first here: above 0 only if it was split
};

struct Batch {
  at::Tensor tokens;   // [T] int64
  at::Tensor targets;  // [T] int64: the token that position t predicts (the next of its document),
                       // or kIgnore
  at::Tensor weights;  // [T] float32: weight of the target in the loss, 0 where there is none
  at::Tensor positions;  // [T] int64: restarts at 0 with every document
  std::vector<int64_t>
      cu_seqlens;  // [D+1], on the host: document d is tokens cu_seqlens[d] .. cu_seqlens[d+1]
  // [D], or none: document d goes on behind the first shared[d] tokens of the last document before
  // it that shares none, so that the row holds a prompt once and two answers to it. Its tokens see
  // those and one another, its positions go on from shared[d].
  std::vector<int64_t> shared;
  int64_t num_targets = 0;  // what the loss is a mean over: targets, or items of preferences
  Preferences preferences;
  TeacherRows teacher;
  std::vector<Origin> origins;  // [D], or none where a batch was not made from data sets
  bool sampled = false;           // the targets are what the trained model itself says
  std::vector<Batch> mismatched;  // none, or one: each prompt with the answer of another

  int64_t num_tokens() const { return tokens.numel(); }  // of the row: what is shared counts once
  int64_t shared_of(size_t d) const { return shared.empty() ? 0 : shared[d]; }
  Batch to(at::Device device) const;
};

// One document: its ids and, for each id, whether it is trained (predicted by the id before it; the
// first never is).
struct DocumentView {
  const int64_t* tokens;
  const uint8_t* trained;  // null: all
  int64_t length;
  int64_t shared = 0;  // of its tokens, which are not laid again (Batch::shared)
};

// Lays documents end to end. Documents of length 0 are left out.
Batch make_batch(const std::vector<DocumentView>& documents);

// How much of `next` need not be laid again behind `first`: what both begin with, up to the token
// that the first target of `next` follows, and never all of it.
int64_t shared_beginning(const DocumentView& first, const DocumentView& next);

// Calls visit(from, to, count, again) for each run of tokens of the row that documents laid whole
// are made of: tokens from .. from + count come to the places to .. to + count. again: a shared
// beginning, which another document has as its own. Returns the tokens of documents laid whole.
template <class Visit>
int64_t for_each_run(const std::vector<int64_t>& cu_seqlens, const std::vector<int64_t>& shared,
                     const Visit& visit) {
  int64_t first = 0, laid = 0;
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    const int64_t again = shared.empty() ? 0 : shared[d], own = cu_seqlens[d + 1] - cu_seqlens[d];
    if (again == 0) first = cu_seqlens[d];
    if (again > 0) visit(first, laid, again, true);
    visit(cu_seqlens[d], laid + again, own, false);
    laid += again + own;
  }
  return laid;
}

}  // namespace lathe

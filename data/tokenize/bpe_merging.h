#pragma once

#include <bit>

#include "data/tokenize/bpe.h"

namespace lathe {

// One word of up to kMost pieces on its way through the merges, a merge a step: between two steps the
// memory that the next one needs can arrive while others take theirs. Places stay; a bit says whether
// one still begins a piece. Ids only, of a lossless vocabulary.
template <size_t kMost>
class Bpe::Merging {
 public:
  static_assert(kMost <= 64, "one bit a place");

  // The word begins with its characters' own tokens: at most kMost of them.
  void begin(const Bpe& bpe, std::string_view word) {
    bpe_ = &bpe;
    count_ = bpe.begin_ids(word, ids_);
    there_ = ~uint64_t{0} >> (64 - count_);
    at_ = before_ = behind_ = kNowhere;
    turns_[count_ - 1] = kNever;
    for (size_t i = 0; i + 1 < count_; ++i) look(i, i + 1);
  }

  // Joins the pair whose turn it is, and fetches what its neighbours may join to. False: none is
  // left.
  bool step() {
    if (before_ != kNowhere) look(before_, at_);
    if (behind_ != kNowhere) look(at_, behind_);
    uint64_t first = kNever;
    for (size_t i = 0; i + 1 < count_; ++i) first = turns_[i] < first ? turns_[i] : first;
    if (first == kNever) return false;
    join(first & 0xFFFFFFFF);
    if (before_ != kNowhere) bpe_->pairs_.prefetch(key_of(ids_[before_], ids_[at_]));
    if (behind_ != kNowhere) bpe_->pairs_.prefetch(key_of(ids_[at_], ids_[behind_]));
    return true;
  }

  // Writes the tokens, returns where they end.
  int32_t* put(int32_t* out) const {
    for (uint64_t left = there_; left != 0; left &= left - 1)
      *out++ = ids_[std::countr_zero(left)];
    return out;
  }

 private:
  static constexpr uint64_t kNever = ~uint64_t{0};
  static constexpr size_t kNowhere = ~size_t{0};

  void look(size_t at, size_t next) {
    const Joined* found = bpe_->pair(ids_[at], ids_[next]);
    turns_[at] = found != nullptr ? uint64_t{found->rank} << 32 | at : kNever;
    joined_[at] = found != nullptr ? found->id : -1;
  }

  void join(size_t at) {
    const uint64_t before = there_ & ((uint64_t{1} << at) - 1);
    uint64_t behind = there_ & (~uint64_t{1} << at);
    const auto taken = static_cast<size_t>(std::countr_zero(behind));
    behind &= behind - 1;
    there_ &= ~(uint64_t{1} << taken);
    ids_[at] = joined_[at];
    turns_[at] = turns_[taken] = kNever;
    at_ = at;
    before_ = before != 0 ? static_cast<size_t>(63 - std::countl_zero(before)) : kNowhere;
    behind_ = behind != 0 ? static_cast<size_t>(std::countr_zero(behind)) : kNowhere;
  }

  const Bpe* bpe_;
  size_t count_;
  uint64_t there_;
  size_t at_, before_, behind_;  // what was joined last, and its neighbours
  int32_t ids_[kMost];
  // Of the pair that begins at a place: what it joins to, and its turn: rank first, then place.
  int32_t joined_[kMost];
  uint64_t turns_[kMost];
};

}  // namespace lathe

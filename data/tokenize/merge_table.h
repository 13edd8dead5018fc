#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "data/tokenize/huge_pages.h"
#include "data/tokenize/spec.h"

// The merges of a vocabulary, packed: pair of tokens -> rank, one line of 64 bytes a look-up. An
// entry is the pair (18 bits each) and behind it one more than the rank (28 bits); 0 is an empty
// place, whose rank reads as kNone.
namespace lathe {

class MergeTable {
 public:
  static constexpr int kRankBits = 28, kIdBits = 18;
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  static constexpr uint64_t kRankMask = (uint64_t{1} << kRankBits) - 1;
  // Stands where there is no token: it is in no merge.
  static constexpr uint32_t kNoToken = (uint32_t{1} << kIdBits) - 1;

  struct alignas(64) Line {
    uint64_t entries[8] = {};  // filled from the first on; a full one may go on in the next
  };

  MergeTable() = default;
  // Empty, if ids or ranks are too large to be packed.
  explicit MergeTable(std::span<const Merge> merges);
  bool empty() const { return lines_.empty(); }

  static uint64_t key_of(uint32_t left, uint32_t right) {
    return uint64_t{left} << kIdBits | right;
  }
  const Line* line_of(uint64_t key) const { return &lines_[line_number(key)]; }
  // The one behind.
  const Line* next(const Line* line) const {
    return line == &lines_.back() ? lines_.data() : line + 1;
  }
  uint32_t find(uint64_t key) const;
  uint32_t find(uint32_t left, uint32_t right) const { return find(key_of(left, right)); }
  // What a rank joins to. Ids mostly follow the ranks, and then no memory is waited for.
  uint32_t id_of(uint32_t rank) const { return ids_.empty() ? rank + first_id_ : ids_[rank]; }
  void fetch() const {
    fetch_all(lines_);
    fetch_all(ids_);
  }

 private:
  size_t line_number(uint64_t key) const {
    const uint64_t hash = key * 0x9E3779B97F4A7C15u;
    return static_cast<size_t>(static_cast<unsigned __int128>(hash) * lines_.size() >> 64);
  }
  HugeVector<Line> lines_;
  uint32_t first_id_ = 0;
  HugeVector<uint32_t> ids_;  // empty: they are first_id_ and those behind
};

}  // namespace lathe

#pragma once

#include <cstdint>
#include "data/tokenize/huge_pages.h"

// A hash table from 64-bit keys to small values, built once and then only read. The key ~0 is not
// allowed.
namespace lathe {

template <typename Value>
class FlatMap {
 public:
  explicit FlatMap(size_t num_keys = 0) {
    int bits = 3;
    while (uint64_t{2} << bits < 3 * num_keys) ++bits;
    shift_ = 64 - bits;
    slots_.assign(size_t{1} << bits, Slot{});
    filter_.assign(size_t{8} << bits >> 6 | 1, 0);
  }
  // Adds, or overwrites. No more keys than the constructor was told.
  void set(uint64_t key, const Value& value) {
    const uint64_t h = hash(key);
    filter_[h >> (shift_ - 3) >> 6] |= uint64_t{1} << (h >> (shift_ - 3) & 63);
    size_t at = h >> shift_;
    while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, value};
  }
  void fetch() const {
    fetch_all(slots_);
    fetch_all(filter_);
  }
  void prefetch(uint64_t key) const {
    const uint64_t h = hash(key);
    __builtin_prefetch(&filter_[h >> (shift_ - 3) >> 6]);
    __builtin_prefetch(&slots_[h >> shift_]);
  }
  const Value* find(uint64_t key) const {
    const uint64_t h = hash(key);
    // One bit in eight slots' worth: most absent keys are known by it without a walk through far
    // memory.
    if (!(filter_[h >> (shift_ - 3) >> 6] >> (h >> (shift_ - 3) & 63) & 1)) return nullptr;
    size_t at = h >> shift_;
    while (slots_[at].key != key) {
      if (slots_[at].key == kEmpty) return nullptr;
      at = (at + 1) & (slots_.size() - 1);
    }
    return &slots_[at].value;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };
  static uint64_t hash(uint64_t key) {
    key ^= key >> 29;
    return key * 0x9E3779B97F4A7C15u;
  }
  int shift_;
  HugeVector<Slot> slots_;
  HugeVector<uint64_t> filter_;  // eight bits a slot
};

}  // namespace lathe

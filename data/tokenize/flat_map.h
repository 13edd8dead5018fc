#pragma once

#include <cstdint>
#include <vector>

// A hash table from 64-bit keys to small values, built once and then only read. The key ~0 is not
// allowed.
namespace lathe {

template <typename Value>
class FlatMap {
 public:
  explicit FlatMap(size_t num_keys = 0) {
    size_t size = 8;
    while (size < 2 * num_keys) size *= 2;
    slots_.assign(size, Slot{});
  }
  // Adds, or overwrites. No more keys than the constructor was told.
  void set(uint64_t key, const Value& value) {
    Slot* slot = &slots_[hash(key)];
    while (slot->key != kEmpty && slot->key != key) slot = next(slot);
    *slot = {key, value};
  }
  const Value* find(uint64_t key) const {
    const Slot* slot = &slots_[hash(key)];
    while (slot->key != key) {
      if (slot->key == kEmpty) return nullptr;
      slot = next(const_cast<Slot*>(slot));
    }
    return &slot->value;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };
  size_t hash(uint64_t key) const {
    const uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    return (mixed ^ mixed >> 32) & (slots_.size() - 1);
  }
  Slot* next(Slot* slot) const {
    return slot + 1 == slots_.data() + slots_.size() ? const_cast<Slot*>(slots_.data()) : slot + 1;
  }
  std::vector<Slot> slots_;
};

}  // namespace lathe

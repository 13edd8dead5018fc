#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenize/flat_map.h"
#include "data/tokenize/unicode.h"

// Which two characters stand side by side in any token. Between two that never do no merge can ever
// reach, so a text may be cut there and its parts encoded alone, to the same ids. Tokens of
// byte-level vocabularies may begin and end within a character: those count for all characters that
// they could be cut from.
namespace lathe {

class Neighbours {
 public:
  explicit Neighbours(const std::vector<std::string>& tokens);

  // Where the part that begins at p ends.
  const char* part_end(const char* p, const char* end) const {
    const char* left_begin = p;
    uint32_t left = next_code_point(p);
    while (p < end) {
      const char* next = p;
      const uint32_t right = next_code_point(next);
      if (!together(left, right, left_begin, p)) return p;
      left = right;
      left_begin = p;
      p = next;
    }
    return end;
  }

 private:
  bool together(uint32_t left, uint32_t right, const char* left_begin,
                const char* right_begin) const {
    if ((left | right) < 128) return ascii_[left * 128 + right];
    if (has(left, right)) return true;
    return (cut_behind_[left & 0xFFFF] | cut_before_[right & 0xFFFF] | any_cut_twice_) &&
           cut_together(left, right, left_begin, right_begin);
  }
  bool cut_together(uint32_t left, uint32_t right, const char* left_begin,
                    const char* right_begin) const;
  bool has(uint32_t left, uint32_t right) const {
    const uint64_t hash = hash_of(left, right);
    const size_t bit = hash >> (64 - kBits);
    if ((bits_[bit / 64] >> (bit % 64) & 1) == 0) return false;
    if ((left | right) > 0xFFFF) return pairs_.find(static_cast<uint64_t>(left) << 32 | right) != nullptr;
    return near_pairs_[slot_of(left << 16 | right, hash)] != 0;
  }
  // Where a near pair stands, or would.
  size_t slot_of(uint32_t pair, uint64_t hash) const {
    size_t at = hash >> shift_;
    while (near_pairs_[at] != pair && near_pairs_[at] != 0) at = (at + 1) & (near_pairs_.size() - 1);
    return at;
  }
  static uint64_t hash_of(uint32_t left, uint32_t right) {
    return (static_cast<uint64_t>(left) << 32 | right) * 0x9E3779B97F4A7C15u;
  }
  void add(uint32_t left, uint32_t right);
  template <typename Visit>
  static void for_each_pair(const std::string& token, Visit visit);

  std::array<bool, 128 * 128> ascii_{};
  // Whether a token ends within what follows a character, or begins within what stands before it
  // (by the low 16 bits).
  std::vector<uint8_t> cut_behind_, cut_before_;
  bool any_cut_twice_ = false;  // a token that begins within one character and ends within the next
  std::vector<bool> cut_twice_;  // by the last byte of the one and the first of the other
  // Two characters up to U+FFFF as one number (0: none) by their hash's upper bits, which are most;
  // the others.
  std::vector<uint32_t> near_pairs_;
  int shift_ = 0;
  FlatMap<char> pairs_;
  // Says no to most pairs that are not among them, and fits the second cache.
  static constexpr size_t kBits = 20;
  std::vector<uint64_t> bits_ = std::vector<uint64_t>((size_t{1} << kBits) / 64);
};

}  // namespace lathe

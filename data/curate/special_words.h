#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

// Words that the word rules would cut wrongly: English contractions ("don't" is "do" and "n't"),
// times of the day ("9am") and abbreviations that keep their full stop ("Mr.").
namespace lathe {

struct SpecialWord {
  uint64_t hash = 0;                 // hash_word of the whole; 0: an empty place
  std::array<uint8_t, 3> cuts = {};  // where it is cut, bytes from its start; 0: no more
};

class SpecialWords {
 public:
  SpecialWords();

  // Nothing for a word that the rules decide.
  const SpecialWord* find(uint64_t hash) const {
    return has(bits_, hash) ? look_up(hash) : nullptr;
  }
  // Of a word of ASCII letters: nothing where it stays whole, which few do not.
  const SpecialWord* find_cut(uint64_t hash) const {
    return may_cut(hash) ? look_up_cut(hash) : nullptr;
  }
  // What a bit says without a look at the table, so without a branch: false is certain. Whether a
  // word of ASCII letters is cut, and whether a full stop behind it belongs to it.
  bool may_cut(uint64_t hash) const { return has(cut_bits_, hash); }
  bool may_keep_stop(uint64_t hash) const { return has(stop_bits_, hash); }

 private:
  static constexpr size_t kMask = 4095;

  template <size_t kSize>
  static bool has(const std::array<uint64_t, kSize>& bits, uint64_t hash) {
    return bits[hash >> 6 & (kSize - 1)] >> (hash & 63) & 1;
  }
  template <size_t kSize>
  static void add(std::array<uint64_t, kSize>& bits, uint64_t hash) {
    bits[hash >> 6 & (kSize - 1)] |= uint64_t{1} << (hash & 63);
  }
  const SpecialWord* look_up_cut(uint64_t hash) const {
    const SpecialWord* found = look_up(hash);
    return found && found->cuts[0] != 0 ? found : nullptr;
  }
  const SpecialWord* look_up(uint64_t hash) const {
    for (size_t at = hash & kMask;; at = (at + 1) & kMask) {
      if (table_[at].hash == hash) return &table_[at];
      if (table_[at].hash == 0) return nullptr;
    }
  }

  std::vector<SpecialWord> table_;
  // A bit of a word's hash: they say no to nearly all, and fit the nearest cache.
  std::array<uint64_t, 1024> bits_{};
  std::array<uint64_t, 1024> cut_bits_{};
  std::array<uint64_t, 256> stop_bits_{};
};

const SpecialWords& special_words();  // one for all, read only

}  // namespace lathe

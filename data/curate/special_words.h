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
    if (!(bits_[hash >> 6 & (kBits - 1)] >> (hash & 63) & 1)) return nullptr;
    for (size_t at = hash & kMask;; at = (at + 1) & kMask) {
      if (table_[at].hash == hash) return &table_[at];
      if (table_[at].hash == 0) return nullptr;
    }
  }

 private:
  static constexpr size_t kMask = 4095, kBits = 1024;
  std::vector<SpecialWord> table_;
  std::vector<uint64_t> bits_;  // says no to nearly all, and fits the nearest cache
};

const SpecialWords& special_words();  // one for all, read only

}  // namespace lathe

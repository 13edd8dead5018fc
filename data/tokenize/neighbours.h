#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenize/flat_map.h"
#include "data/tokenize/unicode.h"

// Which two characters stand side by side in any token that merging makes. Between two that never
// do no merge can ever reach, so a text without a pre-tokenizer may be cut there and its parts
// encoded alone, to the same ids.
namespace lathe {

class Neighbours {
 public:
  explicit Neighbours(const std::vector<std::string>& tokens);

  // Where the part that begins at p ends.
  const char* part_end(const char* p, const char* end) const {
    uint32_t left = next_code_point(p);
    while (p < end) {
      const char* next = p;
      const uint32_t right = next_code_point(next);
      if (!together(left, right)) return p;
      left = right;
      p = next;
    }
    return end;
  }

 private:
  bool together(uint32_t left, uint32_t right) const {
    if ((left | right) < 128) return ascii_[left * 128 + right];
    return begins_[left & 0xFFFF] &&
           pairs_.find(static_cast<uint64_t>(left) << 32 | right) != nullptr;
  }
  std::array<bool, 128 * 128> ascii_{};
  std::vector<bool> begins_;  // whether anything follows a character (by its low 16 bits)
  FlatMap<char> pairs_;
};

}  // namespace lathe

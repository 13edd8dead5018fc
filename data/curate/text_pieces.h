#pragma once

#include <string_view>

#include "data/curate/characters.h"
#include "data/tokenize/unicode.h"

// Pieces of text as Python's str sees them.
namespace lathe {

inline std::string_view strip_left(std::string_view text) {
  const char *p = text.data(), *end = p + text.size();
  while (p < end) {
    const char* next = p;
    if (!(character_bits_of(next_code_point(next)) & kSpaceBit)) break;
    p = next;
  }
  return {p, static_cast<size_t>(end - p)};
}

inline std::string_view strip_right(std::string_view text) {
  const char *start = text.data(), *p = start + text.size();
  while (p > start) {
    const char* before = p;
    if (!(character_bits_of(previous_code_point(before)) & kSpaceBit)) break;
    p = before;
  }
  return {start, static_cast<size_t>(p - start)};
}

inline std::string_view strip(std::string_view text) { return strip_right(strip_left(text)); }

inline uint8_t last_character_bits(std::string_view text) {
  if (text.empty()) return 0;
  const char* p = text.data() + text.size();
  return character_bits_of(previous_code_point(p));
}

inline double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

}  // namespace lathe

#include "data/tokenize/unicode.h"

#include <simdjson.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

namespace lathe {
namespace {

struct Range {
  uint32_t first, last;
};

// What Unicode 15.1 and 16 added to the letters and numbers of utf8proc's Unicode 15.
constexpr Range kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
    {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
    {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                 {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                 {0x1E5F1, 0x1E5FA}};

template <size_t N>
bool in_ranges(const Range (&ranges)[N], uint32_t c) {
  const auto* found =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](uint32_t value, const Range& range) { return value < range.first; });
  return found != std::begin(ranges) && c <= std::prev(found)->last;
}

utf8proc_category_t category(uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// How many bytes the sequence with this lead byte has, and the range of its second byte; 0: no lead
// byte.
struct Sequence {
  size_t length;
  unsigned char low, high;
};
Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2 || lead > 0xF4) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead < 0xF0) {
    return {3, static_cast<unsigned char>(lead == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(lead == 0xED ? 0x9F : 0xBF)};
  }
  return {4, static_cast<unsigned char>(lead == 0xF0 ? 0x90 : 0x80),
          static_cast<unsigned char>(lead == 0xF4 ? 0x8F : 0xBF)};
}

// How many bytes from the start belong to the sequence that the first one begins.
size_t good_bytes(std::string_view bytes, const Sequence& sequence) {
  size_t n = 1;
  while (n < sequence.length && n < bytes.size()) {
    const auto b = static_cast<unsigned char>(bytes[n]);
    const bool good = n == 1 ? b >= sequence.low && b <= sequence.high : (b & 0xC0) == 0x80;
    if (!good) break;
    ++n;
  }
  return n;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)),
        put(0x80 | (c & 0x3F));
  }
}

bool is_letter(uint32_t c) {
  const auto k = category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || in_ranges(kNewLetters, c);
}

bool is_number(uint32_t c) {
  const auto k = category(c);
  return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) || in_ranges(kNewNumbers, c);
}

bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word(uint32_t c) {
  const auto k = category(c);
  const bool mark = k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
  const bool number = k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL;
  const bool circled = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                       (c >= 0x1F150 && c <= 0x1F169) ||
                       (c >= 0x1F170 && c <= 0x1F189);  // alphabetic symbols
  return is_letter(c) || mark || number || k == UTF8PROC_CATEGORY_PC || circled || c == 0x200C ||
         c == 0x200D;
}

bool is_punctuation(uint32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

size_t append_lossy(std::string_view bytes, bool at_end, std::string& out) {
  size_t i = 0;
  while (i < bytes.size()) {
    const Sequence sequence = sequence_of(static_cast<unsigned char>(bytes[i]));
    if (sequence.length == 1) {
      out.push_back(bytes[i++]);
      continue;
    }
    const size_t n = good_bytes(bytes.substr(i), sequence);
    if (n == sequence.length) {
      out.append(bytes, i, n);
    } else if (sequence.length > 0 && i + n == bytes.size() && !at_end) {
      return n;
    } else {
      out += "\xEF\xBF\xBD";
    }
    i += n;
  }
  return 0;
}

}  // namespace lathe

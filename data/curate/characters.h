#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// What the rules of curation ask about characters. Sets and words are those of the published
// filters (datatrove's, which took them from Gopher, C4 and FineWeb), so that decisions agree.
namespace lathe {

enum CharacterBit : uint8_t {
  kSpaceBit = 1,      // Python's str.isspace
  kLetterBit = 2,     // str.isalpha
  kDigitBit = 4,      // 0 to 9
  kUpperBit = 8,      // an upper-case letter
  kSymbolBit = 16,    // in the set that makes a word a symbol: punctuation and controls
  kTerminalBit = 32,  // may end a sentence
  kMarkBit = 64,      // category P
  kHighBit = 128      // of a byte: not ASCII
};

namespace characters {

constexpr bool is_one_of(char c, const char* set) {
  for (; *set; ++set) {
    if (*set == c) return true;
  }
  return false;
}

constexpr uint8_t ascii_bits(int byte) {
  const char c = static_cast<char>(byte);
  uint8_t bits = 0;
  if (byte >= 128) return kHighBit;
  if (byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 0x1C && byte <= 0x1F)) bits |= kSpaceBit;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) bits |= kLetterBit;
  if (c >= 'A' && c <= 'Z') bits |= kUpperBit;
  if (c >= '0' && c <= '9') bits |= kDigitBit;
  const bool punctuation = byte > 32 && byte < 127 && !(bits & (kLetterBit | kDigitBit));
  if (punctuation || byte < 9 || (byte > 10 && byte < 32) || byte == 127) bits |= kSymbolBit;
  if (c == '.' || c == '!' || c == '?') bits |= kTerminalBit;
  if (punctuation && !is_one_of(c, "$+<=>^`|~")) bits |= kMarkBit;
  return bits;
}

constexpr std::array<uint8_t, 256> make_byte_bits() {
  std::array<uint8_t, 256> table{};
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = ascii_bits(i);
  return table;
}

}  // namespace characters

inline constexpr std::array<uint8_t, 256> kByteBits = characters::make_byte_bits();

inline uint8_t byte_bits(char c) { return kByteBits[static_cast<unsigned char>(c)]; }

// Of a code point that is not ASCII.
uint8_t wide_character_bits(uint32_t code_point);
inline uint8_t character_bits_of(uint32_t c) {
  return c < 128 ? kByteBits[c] : wide_character_bits(c);
}

// What is cut off from the front and the back of a word: marks, quotes, currency, pictures.
bool is_affix(uint32_t code_point, bool at_end);
bool is_icon(uint32_t code_point);             // category So beyond ASCII
bool is_decimal_digit(uint32_t code_point);    // \p{Nd}
bool is_nonspacing_mark(uint32_t code_point);  // \p{Mn}

}  // namespace lathe

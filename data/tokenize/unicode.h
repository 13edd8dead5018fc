#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Character properties as the reference tokenizer sees them (Unicode 16).
namespace lathe {

bool is_valid_utf8(std::string_view text);

// The code point at p, which moves behind it. The text must be valid UTF-8.
inline uint32_t next_code_point(const char*& p) {
  const auto byte = [&](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return p += 1, lead;
  if (lead < 0xE0) {
    const uint32_t c = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    return p += 2, c;
  }
  if (lead < 0xF0) {
    const uint32_t c = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return p += 3, c;
  }
  const uint32_t c =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  return p += 4, c;
}

// The code point that ends before p, which moves to its first byte.
inline uint32_t previous_code_point(const char*& p) {
  do --p;
  while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80);
  const char* q = p;
  return next_code_point(q);
}

inline size_t utf8_length(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

void append_utf8(uint32_t code_point, std::string& out);

bool is_letter(uint32_t code_point);  // \p{L}
bool is_number(uint32_t code_point);  // \p{N}
bool is_space(uint32_t code_point);   // White_Space
bool is_word(uint32_t code_point);    // \w: alphabetic, mark, decimal number, connector, joiner
bool is_punctuation(uint32_t code_point);  // \p{P} and all of ASCII's

// Appends bytes as text: each longest piece that is no UTF-8 becomes U+FFFD. An unfinished
// character at the end is left out and its length returned when more may follow (at_end false).
size_t append_lossy(std::string_view bytes, bool at_end, std::string& out);

}  // namespace lathe

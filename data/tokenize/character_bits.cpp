#include "data/tokenize/character_bits.h"

#include <cstring>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

CharacterKind kind_of(uint32_t c, const std::vector<CharacterKind>& kinds) {
  if (c < kinds.size()) return kinds[c];
  return is_letter(c)   ? CharacterKind::kLetter
         : is_number(c) ? CharacterKind::kNumber
                        : CharacterKind::kOther;
}

}  // namespace

ByteBits find_byte_bits_plainly(const char* bytes) {
  ByteBits bits{};
  for (int i = 0; i < 64; ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const auto bit = [&](bool set) { return static_cast<uint64_t>(set) << i; };
    bits.letters |= bit((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    bits.numbers |= bit(c >= '0' && c <= '9');
    bits.spaces |= bit(c == ' ' || (c >= '\t' && c <= '\r'));
    bits.line_ends |= bit(c == '\n' || c == '\r');
    bits.blanks |= bit(c == ' ');
    bits.quotes |= bit(c == '\'');
    bits.continuations |= bit((c & 0xC0) == 0x80);
    bits.not_ascii |= bit(c >= 0x80);
  }
  return bits;
}

void CharacterBits::fill(const char* begin, size_t num_bytes,
                         const std::vector<CharacterKind>& kinds) {
  static const FindByteBits find = find_byte_bits();
  text = begin;
  size = num_bytes;
  words = (size + 63) / 64;
  Row* const rows[] = {&letters, &numbers, &spaces, &line_ends, &blanks, &quotes, &continuations};
  uint64_t not_ascii[Row::kWords], any = 0;
  for (size_t w = 0; w < words; ++w) {
    char last[64] = {};
    const char* bytes = begin + w * 64;
    if (size - w * 64 < 64) {
      std::memcpy(last, bytes, size - w * 64);
      bytes = last;
    }
    const ByteBits bits = find(bytes);
    letters[w] = bits.letters;
    numbers[w] = bits.numbers;
    spaces[w] = bits.spaces;
    line_ends[w] = bits.line_ends;
    blanks[w] = bits.blanks;
    quotes[w] = bits.quotes;
    continuations[w] = bits.continuations;
    not_ascii[w] = bits.not_ascii;
    any |= bits.not_ascii;
  }
  for (Row* row : rows) row->words_[0] = row->words_[words + 1] = row->words_[words + 2] = 0;
  if (any != 0) add_wide_characters(not_ascii, kinds);
}

void CharacterBits::add_wide_characters(const uint64_t* not_ascii,
                                        const std::vector<CharacterKind>& kinds) {
  uint64_t unused[2] = {};
  for (size_t w = 0; w < words; ++w) {
    uint64_t* const of_kind[] = {unused, &letters[w], &numbers[w], &spaces[w]};
    for (uint64_t rest = not_ascii[w] & ~continuations[w]; rest != 0; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      const char* p = text + w * 64 + i;
      const auto bytes = (uint64_t{1} << utf8_length(*p)) - 1;
      uint64_t* row = of_kind[static_cast<int>(kind_of(next_code_point(p), kinds))];
      row[0] |= bytes << i;
      if (i > 60) row[1] |= bytes >> (64 - i);
    }
  }
  // What a character at the end has behind it.
  for (Row* row : {&letters, &numbers, &spaces}) {
    (*row)[words] = 0;
    if (size % 64 != 0) (*row)[words - 1] &= ~(~uint64_t{0} << (size % 64));
  }
}

}  // namespace lathe

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

// What the bytes of a stretch of text belong to, one bit a byte, so that rules about neighbours are
// worked out for 64 bytes at once.
namespace lathe {

enum class CharacterKind : uint8_t { kOther, kLetter, kNumber, kSpace };

// Of 64 bytes. Letters, numbers and spaces count ASCII only; continuations are the bytes of a
// character behind its first.
struct ByteBits {
  uint64_t letters, numbers, spaces, line_ends, blanks, quotes, continuations, not_ascii;
};

// The quick version is chosen at run time (character_bits_simd.cpp); both give the same.
using FindByteBits = ByteBits (*)(const char* bytes);
ByteBits find_byte_bits_plainly(const char* bytes);
FindByteBits find_byte_bits();

struct CharacterBits {
  static constexpr size_t kMaxBytes = 4096;

  // A row of bits, word by word. What is outside the text reads as zeros.
  class Row {
   public:
    uint64_t& operator[](size_t w) { return words_[w + 1]; }
    uint64_t operator[](size_t w) const { return words_[w + 1]; }
    // Each bit says what the byte before, or behind, is.
    uint64_t before(size_t w) const { return words_[w + 1] << 1 | words_[w] >> 63; }
    uint64_t behind(size_t w) const { return words_[w + 1] >> 1 | words_[w + 2] << 63; }
    bool has(size_t i) const { return words_[i / 64 + 1] >> (i % 64) & 1; }
    void set(size_t i) { words_[i / 64 + 1] |= uint64_t{1} << (i % 64); }
    void clear(size_t i) { words_[i / 64 + 1] &= ~(uint64_t{1} << (i % 64)); }

   private:
    friend struct CharacterBits;
    static constexpr size_t kWords = kMaxBytes / 64 + 3;
    uint64_t words_[kWords];
  };

  const char* text = nullptr;
  size_t size = 0, words = 0;
  Row letters, numbers, spaces, line_ends, blanks, quotes, continuations;

  // kinds: of U+0000 ... U+FFFF; what is above is asked for by property. All bytes of a character
  // are what it is. num_bytes <= kMaxBytes; a character that begins within may end behind.
  void fill(const char* begin, size_t num_bytes, const std::vector<CharacterKind>& kinds);

 private:
  void add_wide_characters(const uint64_t* not_ascii, const std::vector<CharacterKind>& kinds);
};

}  // namespace lathe

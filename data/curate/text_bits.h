#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

// What the bytes of a document are, found in one pass for all that ask: rows of bits, one a byte,
// and sums.
namespace lathe {

struct TextCounts {
  uint32_t continuations = 0, not_ascii = 0;     // bytes of UTF-8
  uint32_t letters = 0, digits = 0, spaces = 0;  // of ASCII; spaces as Python's str.isspace
  uint32_t newlines = 0, hashes = 0;             // \n #
  uint32_t brackets = 0, open_square = 0, open_curly = 0;
  uint32_t ellipses = 0;         // U+2026
  bool three_dots = false;       // ...
  bool other_line_ends = false;  // that Python's splitlines knows besides \n
  bool phrases = false;          // may be: see may_hold_phrases
  bool addresses = false;        // may be: :// or www is there

  bool operator==(const TextCounts&) const = default;
};

// Of 64 bytes what is asked by stretches of the text, and how many there were before.
struct TextRow {
  uint64_t starts = 0;  // of chunks between white space (ASCII's six)
  uint64_t upper = 0, digits = 0, continuations = 0;
  uint32_t starts_before = 0, upper_before = 0, digits_before = 0, continuations_before = 0;
};

struct TextBits {
  static constexpr size_t kRoomBehind = 128;  // bytes behind the text, zeros

  std::vector<uint64_t> spaces, not_letters;  // ones behind the end
  std::vector<uint64_t> newlines;
  std::vector<TextRow> rows;
  std::vector<uint32_t> starts;  // the first num_starts of them
  size_t num_starts = 0;
  TextCounts counts;

  void read(const char* text, size_t size);

  // f(p) for the first byte of every character that is not ASCII, of the text that was read.
  template <class F>
  void each_wide(const char* text, size_t size, const F& f) const {
    const size_t last = size / 64;
    for (size_t w = 0; w <= last; ++w) {
      const uint64_t here = rows[w].continuations, next = w < last ? rows[w + 1].continuations : 0;
      for (uint64_t leads = (here >> 1 | next << 63) & ~here; leads != 0; leads &= leads - 1)
        f(text + 64 * w + std::countr_zero(leads));
    }
  }

  // Bits from one on, 57 or more, in one load wherever they lie.
  static uint64_t bits_from(const std::vector<uint64_t>& bits, uint32_t from) {
    uint64_t eight;
    std::memcpy(&eight, reinterpret_cast<const char*>(bits.data()) + from / 8, 8);
    return eight >> (from % 8);
  }
};

// A stretch of the text and what is counted in it.
struct TextStretch {
  uint32_t begin = 0, end = 0;
  uint32_t chunks_before_end = 0;  // that start before its end, of the whole text
  uint32_t chars = 0, upper = 0, digits = 0;

  bool operator==(const TextStretch&) const = default;
};

// The loops, for one instruction set each; all give the same.
struct TextLoops {
  void (*read)(const char* text, size_t size, TextBits& bits);
  void (*count)(const TextBits& bits, TextStretch* stretches, size_t num_stretches);
};
TextLoops text_loops_plain();
TextLoops text_loops_avx2();
TextLoops text_loops_avx512();
TextLoops text_loops();  // the fastest this machine has

}  // namespace lathe

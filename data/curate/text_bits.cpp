#include "data/curate/text_bits.h"

#include <algorithm>

#include "data/curate/text_bits_loop.h"

namespace lathe {
namespace {

struct Block {
  explicit Block(const char* bytes) { std::memcpy(x, bytes, 64); }
  template <class Test>
  uint64_t mask(Test test) const {
    uint64_t bits = 0;
    for (int i = 0; i < 64; ++i) bits |= static_cast<uint64_t>(test(x[i])) << i;
    return bits;
  }

  uint64_t is(char c) const {
    return mask([c](unsigned char b) { return b == static_cast<unsigned char>(c); });
  }
  uint64_t within(char first, char last) const {
    const auto width = static_cast<unsigned char>(last - first);
    return mask([first, width](unsigned char b) {
      return static_cast<unsigned char>(b - static_cast<unsigned char>(first)) <= width;
    });
  }
  uint64_t below_signed(char c) const {
    return mask([c](unsigned char b) { return static_cast<signed char>(b) < c; });
  }
  Block with(char bits) const {
    Block other = *this;
    for (unsigned char& b : other.x) b |= static_cast<unsigned char>(bits);
    return other;
  }
  static void write_places(uint32_t* to, uint64_t bits, uint32_t base) {
    for (; bits != 0; bits &= bits - 1) *to++ = base + static_cast<uint32_t>(__builtin_ctzll(bits));
  }

  unsigned char x[64];
};

}  // namespace

void TextBits::read(const char* text, size_t size) {
  static const TextLoops loops = text_loops();
  const size_t words = size / 64 + 2;
  for (std::vector<uint64_t>* row : {&spaces, &not_letters, &newlines}) {
    if (row->size() < words) row->resize(words + words / 2);
    (*row)[words - 1] = ~uint64_t{0};
  }
  if (rows.size() < words) rows.resize(words + words / 2);
  if (starts.size() < size / 2 + 128) starts.resize(size + 128);
  loops.read(text, size, *this);
}

TextLoops text_loops_plain() { return {text_bits_loop::read<Block>, text_bits_loop::count}; }

TextLoops text_loops() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return text_loops_avx512();
  if (__builtin_cpu_supports("avx2")) return text_loops_avx2();
  return text_loops_plain();
}

}  // namespace lathe

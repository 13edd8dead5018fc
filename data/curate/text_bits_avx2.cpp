#include <immintrin.h>

#include "data/curate/text_bits_loop.h"

namespace lathe {
namespace {

struct Block {
  explicit Block(const char* bytes)
      : low(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes))),
        high(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32))) {}
  Block(__m256i first, __m256i second) : low(first), high(second) {}
  static __m256i all(char c) { return _mm256_set1_epi8(c); }
  static uint64_t mask(__m256i first, __m256i second) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(first)) |
           static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(second))) << 32;
  }

  uint64_t is(char c) const {
    return mask(_mm256_cmpeq_epi8(low, all(c)), _mm256_cmpeq_epi8(high, all(c)));
  }
  uint64_t within(char first, char last) const {
    const auto of = [first, last](__m256i x) {
      const __m256i from = _mm256_sub_epi8(x, all(first));
      return _mm256_cmpeq_epi8(_mm256_min_epu8(from, all(static_cast<char>(last - first))), from);
    };
    return mask(of(low), of(high));
  }
  uint64_t below_signed(char c) const {
    return mask(_mm256_cmpgt_epi8(all(c), low), _mm256_cmpgt_epi8(all(c), high));
  }
  Block with(char bits) const {
    return {_mm256_or_si256(low, all(bits)), _mm256_or_si256(high, all(bits))};
  }

  static void write_places(uint32_t* to, uint64_t bits, uint32_t base) {
    const int count = __builtin_popcountll(bits);
    for (int k = 0; k < count; ++k, bits &= bits - 1)
      to[k] = base + static_cast<uint32_t>(__builtin_ctzll(bits));
  }

  __m256i low, high;
};

}  // namespace

TextLoops text_loops_avx2() { return {text_bits_loop::read<Block>, text_bits_loop::count}; }

}  // namespace lathe

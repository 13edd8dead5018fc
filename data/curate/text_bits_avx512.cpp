#include <immintrin.h>

#include "data/curate/text_bits_loop.h"

namespace lathe {
namespace {

struct Block {
  explicit Block(const char* bytes) : x(_mm512_loadu_si512(bytes)) {}
  explicit Block(__m512i value) : x(value) {}
  static __m512i all(char c) { return _mm512_set1_epi8(c); }

  uint64_t is(char c) const { return _mm512_cmpeq_epi8_mask(x, all(c)); }
  uint64_t within(char first, char last) const {
    return _mm512_cmple_epu8_mask(_mm512_sub_epi8(x, all(first)),
                                  all(static_cast<char>(last - first)));
  }
  uint64_t below_signed(char c) const { return _mm512_cmplt_epi8_mask(x, all(c)); }
  Block with(char bits) const { return Block(_mm512_or_si512(x, all(bits))); }

  // The place of every bit, and anything behind; room for 64.
  static void write_places(uint32_t* to, uint64_t bits, uint32_t base) {
    __m512i places =
        _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(static_cast<int>(base)));
    for (int k = 0; k < 4; ++k) {
      const auto sixteen = static_cast<__mmask16>(bits >> (16 * k));
      _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(sixteen, places));
      to += __builtin_popcount(sixteen);
      places = _mm512_add_epi32(places, _mm512_set1_epi32(16));
    }
  }

  __m512i x;
};

}  // namespace

TextLoops text_loops_avx512() { return {text_bits_loop::read<Block>, text_bits_loop::count}; }

}  // namespace lathe

#include "data/tokenize/character_bits.h"

// find_byte_bits() for processors with wide registers.
#if defined(__x86_64__)
#include <immintrin.h>

namespace lathe {
namespace {

#define LATHE_AVX2 __attribute__((target("avx2")))

// Signed comparison: bytes above 0x7F are negative and lie in no range.
LATHE_AVX2 inline __m256i within(__m256i value, char first, char last) {
  const __m256i below = _mm256_set1_epi8(static_cast<char>(first - 1));
  const __m256i above = _mm256_set1_epi8(static_cast<char>(last + 1));
  return _mm256_and_si256(_mm256_cmpgt_epi8(value, below), _mm256_cmpgt_epi8(above, value));
}

LATHE_AVX2 inline uint64_t top_bits(__m256i value) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(value));
}

LATHE_AVX2 inline uint64_t equal_bits(__m256i value, char c) {
  return top_bits(_mm256_cmpeq_epi8(value, _mm256_set1_epi8(c)));
}

LATHE_AVX2 inline ByteBits bits_of_32(const char* bytes) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  const __m256i lower = _mm256_or_si256(x, _mm256_set1_epi8(0x20));
  const uint64_t blanks = equal_bits(x, ' ');
  return {.letters = top_bits(within(lower, 'a', 'z')),
          .numbers = top_bits(within(x, '0', '9')),
          .spaces = top_bits(within(x, '\t', '\r')) | blanks,
          .line_ends = equal_bits(x, '\n') | equal_bits(x, '\r'),
          .blanks = blanks,
          .quotes = equal_bits(x, '\''),
          // 0x80 ... 0xBF are the lowest of the signed bytes.
          .continuations = top_bits(_mm256_cmpgt_epi8(_mm256_set1_epi8(-64), x)),
          .not_ascii = top_bits(x)};
}

LATHE_AVX2 ByteBits find_by_avx2(const char* bytes) {
  const ByteBits low = bits_of_32(bytes), high = bits_of_32(bytes + 32);
  return {.letters = low.letters | high.letters << 32,
          .numbers = low.numbers | high.numbers << 32,
          .spaces = low.spaces | high.spaces << 32,
          .line_ends = low.line_ends | high.line_ends << 32,
          .blanks = low.blanks | high.blanks << 32,
          .quotes = low.quotes | high.quotes << 32,
          .continuations = low.continuations | high.continuations << 32,
          .not_ascii = low.not_ascii | high.not_ascii << 32};
}

}  // namespace

FindByteBits find_byte_bits() {
  return __builtin_cpu_supports("avx2") ? find_by_avx2 : find_byte_bits_plainly;
}

}  // namespace lathe

#else

namespace lathe {

FindByteBits find_byte_bits() { return find_byte_bits_plainly; }

}  // namespace lathe

#endif

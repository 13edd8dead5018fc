#include "trainer/kernels/tile.inl"

namespace lathe {
namespace {

inline __mmask16 first_of_16(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

inline __m512 widened(__m256i halves) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

struct Loads {
  static constexpr int64_t kWidth = 16;
  using Vector = __m512;
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static Vector load_part(const float* p, int64_t count) {
    return _mm512_maskz_loadu_ps(first_of_16(count), p);
  }
  static void store(float* p, Vector v) { _mm512_store_ps(p, v); }
  static Vector load(const Bf16* p) {
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vector load_part(const Bf16* p, int64_t count) {
    return widened(_mm256_maskz_loadu_epi16(first_of_16(count), p));
  }
  static __m512 add(__m512 sum, Vector x, Vector w) { return _mm512_fmadd_ps(x, w, sum); }
};

struct FloatStep : Loads {
  using X = float;
  using W = float;
};

struct WideningStep : Loads {
  using X = float;
  using W = Bf16;
};

}  // namespace

void float_tiles_avx512(float* y, const float* x, const float* w, const TileShape& shape) {
  tile_product<FloatStep>(y, x, w, shape);
}

void widening_tiles_avx512(float* y, const float* x, const Bf16* w, const TileShape& shape) {
  tile_product<WideningStep>(y, x, w, shape);
}

}  // namespace lathe

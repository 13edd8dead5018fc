#include "trainer/kernels/tile.inl"

namespace lathe {
namespace {

// vdpbf16ps: sums of pairs of products, in float32.
struct Bf16Step {
  using X = Bf16;
  using W = Bf16;
  using Vector = __m512bh;
  static constexpr int64_t kWidth = 32;
  static Vector load(const Bf16* p) { return (Vector)_mm512_loadu_si512(p); }
  static Vector load_part(const Bf16* p, int64_t count) {
    return (Vector)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << count) - 1), p);
  }
  static void store(Bf16* p, Vector v) { _mm512_store_si512(p, (__m512i)v); }
  static __m512 add(__m512 sum, Vector x, Vector w) { return _mm512_dpbf16_ps(sum, x, w); }
};

}  // namespace

void bf16_tiles_avx512(float* y, const Bf16* x, const Bf16* w, const TileShape& shape) {
  tile_product<Bf16Step>(y, x, w, shape);
}

}  // namespace lathe

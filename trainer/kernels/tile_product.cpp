#include "trainer/kernels/tile_product.h"

#include "trainer/kernels/tile_isa.h"

namespace lathe {

TileProduct<float, float> float_tiles() {
  return has_simd(Simd::kAvx512) ? float_tiles_avx512 : nullptr;
}

TileProduct<float, Bf16> widening_tiles() {
  return has_simd(Simd::kAvx512) ? widening_tiles_avx512 : nullptr;
}

TileProduct<Bf16, Bf16> bf16_tiles() {
  const bool has = has_simd(Simd::kAvx512) && __builtin_cpu_supports("avx512bf16");
  return has ? bf16_tiles_avx512 : nullptr;
}

}  // namespace lathe

#pragma once

#include "trainer/kernels/tile_product.h"

// What tile_avx512.cpp and tile_bf16_avx512.cpp offer to tile_product.cpp.
namespace lathe {

void float_tiles_avx512(float* y, const float* x, const float* w, const TileShape& shape);
void widening_tiles_avx512(float* y, const float* x, const Bf16* w, const TileShape& shape);
void bf16_tiles_avx512(float* y, const Bf16* x, const Bf16* w, const TileShape& shape);

}  // namespace lathe

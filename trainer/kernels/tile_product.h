#pragma once

#include <cstdint>

#include "trainer/kernels/rows.h"

// y = x W^T as generation needs it: for one token or some hundreds, on weights as they lie in
// memory, each of which comes from there once for up to 64 tokens. Every number is summed in an
// order that depends on the width alone, never on how many tokens or outputs are asked for: a token
// gets the same bits in any company. On the calling thread. Needs AVX512; RowKernels::thin_product
// is for other machines.
namespace lathe {

template <typename X, typename W>
using TileProduct = void (*)(float* y, const X* x, const W* w, const TileShape& shape);

// Null on machines that cannot run them.
TileProduct<float, float> float_tiles();
TileProduct<float, Bf16> widening_tiles();  // weights are widened on the way
TileProduct<Bf16, Bf16> bf16_tiles();       // by AVX512_BF16

}  // namespace lathe

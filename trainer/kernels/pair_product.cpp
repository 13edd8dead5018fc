#include "trainer/kernels/pair_product.h"

namespace lathe {

extern const PairKernels kAvx512PairKernels;  // pair_product_avx512.cpp

const PairKernels* pair_kernels() {
  static const bool has = has_simd(Simd::kAvx512) && __builtin_cpu_supports("avx512bf16");
  return has ? &kAvx512PairKernels : nullptr;
}

}  // namespace lathe

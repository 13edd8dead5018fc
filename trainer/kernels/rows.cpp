#include "trainer/kernels/rows.h"

#include "trainer/kernels/rows_isa.h"

namespace lathe {
namespace {

Simd best_simd() {
  if (has_simd(Simd::kAvx512)) return Simd::kAvx512;
  return has_simd(Simd::kAvx2) ? Simd::kAvx2 : Simd::kPlain;
}

}  // namespace

bool has_simd(Simd simd) {
  if (simd == Simd::kPlain) return true;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (simd == Simd::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

template <>
const RowKernels<float>& row_kernels(Simd simd) {
  return simd == Simd::kAvx512 ? kAvx512Float : simd == Simd::kAvx2 ? kAvx2Float : kPlainFloat;
}

template <>
const RowKernels<Bf16>& row_kernels(Simd simd) {
  return simd == Simd::kAvx512 ? kAvx512Bf16 : simd == Simd::kAvx2 ? kAvx2Bf16 : kPlainBf16;
}

template <>
const RowKernels<float>& row_kernels() {
  static const RowKernels<float>& best = row_kernels<float>(best_simd());
  return best;
}

template <>
const RowKernels<Bf16>& row_kernels() {
  static const RowKernels<Bf16>& best = row_kernels<Bf16>(best_simd());
  return best;
}

const ScoreKernels& score_kernels(Simd simd) {
  return simd == Simd::kAvx512 ? kAvx512Scores : simd == Simd::kAvx2 ? kAvx2Scores : kPlainScores;
}

const ScoreKernels& score_kernels() {
  static const ScoreKernels& best = score_kernels(best_simd());
  return best;
}

}  // namespace lathe

#include "trainer/kernels/cpu_features.h"

#include <cpuid.h>

namespace lathe {
namespace {

// Leaf 7, EDX bit 22: AMX-BF16 (Intel SDM, volume 2, CPUID).
bool has_amx_bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx >> 22 & 1) != 0;
}

}  // namespace

bool has_amx() {
  static const bool has = has_amx_bf16();
  return has;
}

const char* fast_bf16() {
  if (has_amx()) return "AMX";
  return __builtin_cpu_supports("avx512bf16") ? "AVX512_BF16" : nullptr;
}

}  // namespace lathe

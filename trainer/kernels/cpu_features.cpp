#include "trainer/kernels/cpu_features.h"

#include <cpuid.h>

namespace lathe {

bool cpu_has_fast_bf16() {
  // Leaf 7, EDX bit 22: AMX-BF16 (Intel SDM, volume 2, CPUID).
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx >> 22 & 1) != 0;
}

}  // namespace lathe

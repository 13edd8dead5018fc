#pragma once

namespace lathe {

// Whether this CPU multiplies bfloat16 matrices faster than float32 ones: AMX tiles (about 4x). AVX512-BF16 alone is not
// counted: nothing was measured on such a machine.
bool cpu_has_fast_bf16();

}  // namespace lathe

#pragma once

namespace lathe {

// By what this CPU multiplies bfloat16 matrices faster than float32 ones: "AMX" (about 4x) or "AVX512_BF16" (2.3x); null:
// it does not.
const char* fast_bf16();

// Whether it is matrix units: AMX, for bfloat16.
bool has_amx();

}  // namespace lathe

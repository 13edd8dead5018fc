#pragma once

#include "trainer/kernels/rows.h"

// What each rows_<instruction set>.cpp offers to rows.cpp. Constants, so that nothing runs before
// main.
namespace lathe {

extern const RowKernels<float> kPlainFloat, kAvx2Float, kAvx512Float;
extern const RowKernels<Bf16> kPlainBf16, kAvx2Bf16, kAvx512Bf16;
extern const ScoreKernels kPlainScores, kAvx2Scores, kAvx512Scores;

}  // namespace lathe

#include "trainer/kernels/rows.h"
#include "trainer/kernels/rows_isa.h"

#include "trainer/kernels/rows.inl"

namespace lathe {

extern const RowKernels<float> kPlainFloat = all_row_kernels<float>();
extern const RowKernels<Bf16> kPlainBf16 = all_row_kernels<Bf16>();
extern const ScoreKernels kPlainScores = all_score_kernels();

}  // namespace lathe

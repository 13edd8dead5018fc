#include "trainer/kernels/rows.h"
#include "trainer/kernels/rows_isa.h"

#include "trainer/kernels/rows.inl"

namespace lathe {

extern const RowKernels<float> kAvx512Float = all_row_kernels<float>();
extern const RowKernels<Bf16> kAvx512Bf16 = all_row_kernels<Bf16>();
extern const ScoreKernels kAvx512Scores = all_score_kernels();

}  // namespace lathe

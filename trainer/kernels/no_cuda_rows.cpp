#include <stdexcept>

#include "trainer/kernels/rows_cuda.h"

namespace lathe {

bool has_cuda_rows() { return false; }

template <>
const RowKernels<float>& cuda_row_kernels() {
  throw std::logic_error("this build has no CUDA kernels");
}
template <>
const RowKernels<Bf16>& cuda_row_kernels() {
  throw std::logic_error("this build has no CUDA kernels");
}

}  // namespace lathe

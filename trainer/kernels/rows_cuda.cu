#include "trainer/kernels/rows_cuda.h"

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "trainer/kernels/cuda_stream.h"

namespace lathe {
namespace {

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, Arguments... arguments) {
  if (blocks == 0) return;
  const auto stream = static_cast<cudaStream_t>(current_cuda_stream());
  kernel<<<static_cast<unsigned>(blocks), 256, 0, stream>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("a CUDA kernel was refused: ") + cudaGetErrorString(error));
}

}  // namespace
}  // namespace lathe

#include "trainer/kernels/rows_cuda.inl"

namespace lathe {

static_assert(kThreads == 256, "as launch() has it");

bool has_cuda_rows() { return true; }

template <>
const RowKernels<float>& cuda_row_kernels() {
  static constexpr RowKernels<float> kTable = launch_table<float>();
  return kTable;
}
template <>
const RowKernels<Bf16>& cuda_row_kernels() {
  static constexpr RowKernels<Bf16> kTable = launch_table<Bf16>();
  return kTable;
}

}  // namespace lathe

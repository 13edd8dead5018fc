#pragma once

#include "trainer/kernels/rows.h"

namespace lathe {

// Whether the kernels for GPUs were compiled in (preset cuda).
bool has_cuda_rows();

// The kernels of rows.h for memory of the current device, on its current stream: they return before
// the work is done. attend_one, dot_rows and thin_product are the CPU's alone (null). Results do
// not depend on the device's number of processors. std::logic_error when has_cuda_rows() is false;
// std::runtime_error when a launch is refused.
template <typename T>
const RowKernels<T>& cuda_row_kernels();

}  // namespace lathe

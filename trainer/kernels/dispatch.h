#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>

#include <stdexcept>
#include <type_traits>

#include "trainer/kernels/rows_cuda.h"

// From tensors to rows of memory, shared by the kernels.
namespace lathe {

// kBest: the row kernels for float32 and bfloat16 on the CPU, and on GPUs where they were compiled
// in; ATen's operations for everything else. kPlain: ATen's operations always; the reference in
// tests.
enum class Path { kBest, kPlain };

inline bool use_rows(const at::Tensor& x, Path path) {
  return path == Path::kBest && (x.is_cpu() || (x.is_cuda() && has_cuda_rows())) &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

// The kernels for where x lies.
template <typename T>
const RowKernels<T>& row_kernels_for(const at::Tensor& x) {
  return x.is_cuda() ? cuda_row_kernels<T>() : row_kernels<T>();
}

// work(begin, end) until all rows are done: on the CPU's threads, of at least `grain` rows each, or
// once on x's GPU.
template <typename Work>
void for_rows_of(const at::Tensor& x, int64_t rows, int64_t grain, const Work& work) {
  if (x.is_cpu()) {
    at::parallel_for(0, rows, grain, work);
    return;
  }
  const c10::DeviceGuard guard(x.device());
  work(0, rows);
}

// Calls function(T{}) with T the element type of the rows, float or Bf16.
template <typename Function>
void with_row_type(at::ScalarType type, const Function& function) {
  if (type == at::kFloat) {
    function(float{});
  } else {
    function(Bf16{});
  }
}

// Null for an undefined tensor.
template <typename T>
T* rows_of(const at::Tensor& x) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) : nullptr;
}

// The type of the arithmetic inside norms, softmax and losses.
inline at::ScalarType accumulate_type(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// Rows a thread takes at least: below some 16K elements a second thread costs more than it brings.
inline int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
}

}  // namespace lathe

#pragma once

#include <ATen/ATen.h>

#include <stdexcept>
#include <type_traits>

#include "trainer/kernels/rows.h"

// From tensors to rows of memory, shared by the kernels.
namespace lathe {

// kBest: the row kernels for float32 and bfloat16 on the CPU, ATen's operations for everything
// else. kPlain: ATen's operations always; the reference in tests.
enum class Path { kBest, kPlain };

inline bool use_rows(const at::Tensor& x, Path path) {
  return path == Path::kBest && x.is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
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

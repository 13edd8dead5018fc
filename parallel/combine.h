#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "parallel/group.h"

// The arithmetic of a reduction on the CPU, shared by the backends whose tensors lie in host
// memory.
namespace lathe {

// Throws std::invalid_argument where values of this type cannot be combined.
void check_combinable(at::ScalarType type);

// Element by element, the inputs in order (they are the ranks'), then the result into every output.
// An output may be an input. Sums as group.h says. Does not throw.
void combine(at::ScalarType type, Reduce op, std::span<const void* const> inputs,
             std::span<void* const> outputs, int64_t count) noexcept;

}  // namespace lathe

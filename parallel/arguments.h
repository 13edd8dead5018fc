#pragma once

#include <ATen/core/Tensor.h>

// What every backend demands of the arguments of a collective. Faults are std::invalid_argument
// that names the call.
namespace lathe {

// Defined, contiguous and on the group's device.
void check_tensor(const char* call, const at::Tensor& tensor, at::Device device);

// Besides: whole is `size` times slice, of one type, and where they overlap, slice is part `rank`
// of whole.
void check_parts(const char* call, const at::Tensor& whole, const at::Tensor& slice, int rank,
                 int size, at::Device device);

void check_root(int root, int size);
void check_color(int color);

}  // namespace lathe

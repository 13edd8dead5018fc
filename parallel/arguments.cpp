#include "parallel/arguments.h"

#include <fmt/format.h>

namespace lathe {
namespace {

[[noreturn]] void refuse(const char* call, const std::string& why) {
  throw std::invalid_argument(fmt::format("{}: {}", call, why));
}

}  // namespace

void check_tensor(const char* call, const at::Tensor& tensor, at::Device device) {
  if (!tensor.defined()) refuse(call, "the tensor is undefined");
  if (tensor.device() != device) {
    refuse(call, fmt::format("the tensor is on {}, the group on {}", tensor.device().str(),
                             device.str()));
  }
  if (!tensor.is_contiguous()) refuse(call, "the tensor is not contiguous");
}

void check_parts(const char* call, const at::Tensor& whole, const at::Tensor& slice, int rank,
                 int size, at::Device device) {
  check_tensor(call, whole, device);
  check_tensor(call, slice, device);
  if (whole.scalar_type() != slice.scalar_type()) {
    refuse(call, fmt::format("the whole is {}, the slice {}", c10::toString(whole.scalar_type()),
                             c10::toString(slice.scalar_type())));
  }
  if (whole.numel() != size * slice.numel()) {
    refuse(call, fmt::format("the whole has {} elements, but {} ranks with slices of {} need {}",
                             whole.numel(), size, slice.numel(), size * slice.numel()));
  }
  const char* begin = static_cast<const char*>(whole.const_data_ptr());
  const char* part = static_cast<const char*>(slice.const_data_ptr());
  const bool overlap = part < begin + whole.nbytes() && begin < part + slice.nbytes();
  if (overlap && part != begin + rank * static_cast<int64_t>(slice.nbytes())) {
    refuse(call, fmt::format("the slice overlaps the whole, but is not part {} of it", rank));
  }
}

void check_root(int root, int size) {
  if (root < 0 || root >= size)
    refuse("broadcast", fmt::format("root is {} in a group of {}", root, size));
}

void check_color(int color) {
  if (color < 0) refuse("split", fmt::format("color is {}, expected 0 or more", color));
}

}  // namespace lathe

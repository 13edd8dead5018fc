#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

// Memory that tensors have for a while. All views of a tensor's storage are without memory, and
// have it back, together with it; their handles stay.
namespace lathe {

class BufferPool {
 public:
  // Memory of the size of this tensor will be wanted: what several want is kept for the next one.
  void expect(const at::Tensor& flat) { ++wanted_[bytes_of(flat)]; }
  void release(const at::Tensor& flat);
  // The same, and nothing is kept.
  static void drop(const at::Tensor& flat);
  // Not initialised.
  void reserve(const at::Tensor& flat);

 private:
  static size_t bytes_of(const at::Tensor& flat) { return flat.numel() * flat.element_size(); }

  std::map<size_t, int> wanted_;
  std::map<size_t, std::vector<c10::DataPtr>> free_;
};

}  // namespace lathe

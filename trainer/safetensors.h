#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "trainer/safetensors_header.h"

// Tensors in safetensors files: reading by mapping the file, not copying it, and writing. The rules
// of the format and the faults are those of safetensors_header.h.
namespace lathe {

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  const std::string& path() const;
  const std::map<std::string, TensorEntry>& entries() const;
  const std::map<std::string, std::string>& metadata() const;
  bool contains(const std::string& name) const { return entries().count(name) != 0; }
  // A view into the mapping: valid while this object lives; do not write to it. (A copy where the
  // file aligns the data badly.) std::invalid_argument for a name that is not there and for a dtype
  // that at:: has no type for.
  at::Tensor tensor(const std::string& name) const;
  // The bytes as they lie in the file.
  std::string_view bytes(const std::string& name) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Writes to <path>.tmp-<pid>, fsync, rename. Tensors lie in the reference writer's order, whatever
// order they are given in: the same tensors make the same bytes. They are written one after
// another.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors);

struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
};

// The same with values asked for one at a time, on any device, so that casts of a whole model need
// not exist together.
void write_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                       const std::function<at::Tensor(const std::string&)>& value);

// F32 for at::kFloat and so on; std::invalid_argument for a type the format has no name for.
std::string safetensors_dtype(at::ScalarType type);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

// The safetensors format, read strictly and written. https://huggingface.co/docs/safetensors (format description).
//
// Reading: the file is mapped, not copied. Header at most 100,000,000 bytes, checked against the file's size before
// anything is allocated; offsets contiguous, without hole or overlap, ending at the file's end; shape x type equal to the
// span with checked arithmetic; no duplicate name. Every fault is std::invalid_argument naming file, tensor and reason.
namespace lathe {

struct TensorEntry {
  std::string dtype;  // as in the file: F32, BF16, ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, from the start of the data
};

// Only the header: `bytes` is the file's first bytes (at least 8 + header), file_bytes its whole size.
std::map<std::string, TensorEntry> parse_safetensors_header(std::string_view bytes, uint64_t file_bytes,
                                                            const std::string& where,
                                                            std::map<std::string, std::string>* metadata = nullptr);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  const std::map<std::string, TensorEntry>& entries() const;
  // A view into the mapping: valid while this object lives; do not write to it.
  at::Tensor tensor(const std::string& name) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Writes to <path>.tmp-<pid>, fsync, rename. metadata {"format": "pt"}. Tensors are written one after another.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors);

}  // namespace lathe

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// The header of a safetensors file: u64 length, JSON, then the data.
// https://huggingface.co/docs/safetensors
//
// Read strictly, because a lenient reader is one that two programs disagree about: offsets are
// contiguous, without hole or overlap, and end at the file's end; shape x type equals the span,
// with checked arithmetic; no duplicate key at any depth; only unsigned integers; valid UTF-8;
// nothing nested deeper than the format. Names may hold anything but NUL and a `..` path component.
// Every fault is std::invalid_argument naming file, tensor and reason. Memory stays within twice
// the header's length plus 64 MB whatever the header says.
namespace lathe {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxSafetensorsTensors =
    100'000;  // in one file; the largest known models stay below in all
inline constexpr size_t kMaxSafetensorsRank = 64;

struct TensorEntry {
  std::string dtype;  // as in the file: F32, BF16, ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, from the start of the data

  bool operator==(const TensorEntry&) const = default;
};

// `bytes` is the file's first bytes (at least 8 + header), file_bytes its whole size; `where` names
// it in messages.
std::map<std::string, TensorEntry> parse_safetensors_header(
    std::string_view bytes, uint64_t file_bytes, const std::string& where,
    std::map<std::string, std::string>* metadata = nullptr);

// Where the data begins: 8 + the header's length. Checks the length against cap and file.
uint64_t safetensors_data_begin(std::string_view bytes, uint64_t file_bytes,
                                const std::string& where);

// Length and JSON, padded with spaces to a multiple of 8, with metadata {"format": "pt"}. Entries
// in the order of their begin.
std::string format_safetensors_header(
    const std::vector<std::pair<std::string, TensorEntry>>& entries);

// The place of a dtype in the order of the reference writer (its alignment, rising), or -1 if the
// format does not know it.
int safetensors_dtype_rank(std::string_view dtype);
int safetensors_dtype_bits(std::string_view dtype);

}  // namespace lathe

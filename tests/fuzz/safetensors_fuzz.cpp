#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "trainer/safetensors_header.h"

// The header parser must refuse with std::invalid_argument or accept, and what it accepts must lie
// within the file and survive being written and read again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::map<std::string, lathe::TensorEntry> entries;
  try {
    entries = lathe::parse_safetensors_header(bytes, size, "fuzz");
  } catch (const std::invalid_argument&) {
    return 0;
  }
  const uint64_t data_bytes = size - lathe::safetensors_data_begin(bytes, size, "fuzz");
  for (const auto& [name, entry] : entries) {
    if (entry.begin > entry.end || entry.end > data_bytes) std::abort();
  }
  const std::string again = lathe::format_safetensors_header({entries.begin(), entries.end()});
  if (lathe::parse_safetensors_header(again, again.size() + data_bytes, "again") != entries)
    std::abort();
  return 0;
}

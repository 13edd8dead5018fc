#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/trainer/config_example.h"

// Any text is either refused with std::invalid_argument, or its dump reads back to the same dump.
// The first byte 0xff makes an override of the rest.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lathe::config_example;
  std::string text(reinterpret_cast<const char*>(data), size);
  const bool is_override = text.starts_with('\xff');
  std::string dump;
  try {
    dump = is_override ? read("", {text.substr(1)}).resolved.dump : read(text).resolved.dump;
  } catch (const std::invalid_argument&) {
    return 0;
  }
  // Outside of the try block: a dump that is refused is a fault too.
  if (without_comments(read(dump).resolved.dump) != without_comments(dump)) std::abort();
  return 0;
}

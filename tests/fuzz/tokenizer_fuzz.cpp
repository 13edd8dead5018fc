#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/fuzz/tokenizer_check.h"

// Any bytes as a tokenizer file: it is refused with an exception of the two kinds, or it works on
// any text. The first byte chooses the format and how many of the last bytes are the text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t text_size = std::min<size_t>(data[0] >> 1, input.size());
  const std::string file = input.substr(0, input.size() - text_size),
                    text = input.substr(input.size() - text_size);
  const std::string path = (std::filesystem::temp_directory_path() /
                            (data[0] & 1 ? "lathe_fuzz.model" : "lathe_fuzz.json"))
                               .string();
  std::ofstream(path, std::ios::binary) << file;
  lathe::check_tokenizer(path, text);
  return 0;
}

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/fuzz/tokenizer_check.h"

// A SentencePiece .model put together from the input: pieces with any text, score and kind, then
// the specs, then whatever bytes are left. Most inputs are thus read to the end, and what they make
// must work on any text: the fast path as the plain one, pieces of a stream as the whole.
namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::string text(size_t most) {
    std::string text;
    for (size_t n = byte() % (most + 1); n > 0 && at_ < size_; --n)
      text += static_cast<char>(byte());
    return text;
  }
  std::string rest() { return {reinterpret_cast<const char*>(data_ + at_), size_ - at_}; }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string number_field(int number, uint8_t value) {
  return {static_cast<char>(number << 3), static_cast<char>(value & 0x7f)};
}

std::string piece(Input& input) {
  const float score = -static_cast<float>(input.byte());
  std::string bytes = field(1, input.text(12)) + std::string(1, static_cast<char>(2 << 3 | 5));
  bytes.append(reinterpret_cast<const char*>(&score), sizeof score);
  return bytes + number_field(3, input.byte() % 8);
}

std::string model(Input& input) {
  std::string bytes;
  for (const char* known : {"<unk>", "<s>", "</s>"}) {
    bytes += field(1, field(1, known) + number_field(3, known[1] == 'u' ? 2 : 3));
  }
  for (int n = input.byte() % 64; n > 0; --n) bytes += field(1, piece(input));
  bytes += field(2, number_field(3, input.byte() % 8 ? 2 : input.byte()));
  bytes += field(3, field(1, "identity") + number_field(3, input.byte() % 2) +
                        number_field(4, input.byte() % 2));
  if (input.byte() % 8 == 0) bytes += input.text(40);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::string path =
      (std::filesystem::temp_directory_path() / "lathe_fuzz_pieces.model").string();
  std::ofstream(path, std::ios::binary) << model(input);
  const std::string text = input.rest();
  lathe::check_tokenizer(path, text);
  return 0;
}

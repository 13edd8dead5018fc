#include "data/curate/signal_block.h"

#include <zstd.h>

#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <type_traits>

#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {
namespace {

constexpr std::string_view kMagic = "lathe signals 4\n";
constexpr uint64_t kMostBytes = uint64_t{4} << 30;

// One list of members for both ways.
class Writer {
 public:
  template <class T>
  void operator()(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      (*this)(static_cast<uint64_t>(value.size()));
      bytes_ += value;
    } else if constexpr (requires { value.begin(); }) {
      (*this)(static_cast<uint64_t>(value.size()));
      if constexpr (std::is_trivially_copyable_v<typename T::value_type>) {
        bytes_.append(reinterpret_cast<const char*>(value.data()),
                      value.size() * sizeof(typename T::value_type));
      } else {
        for (const auto& item : value) (*this)(item);
      }
    } else if constexpr (std::is_same_v<T, Findings>) {
      (*this)(value.language);
      (*this)(value.item);
      (*this)(value.span_begin);
      (*this)(value.span_end);
    } else {
      static_assert(std::is_trivially_copyable_v<T>);
      bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  void operator()(T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      value = take(size());
    } else if constexpr (requires { value.begin(); }) {
      const uint64_t count = size();
      if constexpr (std::is_trivially_copyable_v<typename T::value_type>) {
        constexpr size_t kItem = sizeof(typename T::value_type);
        if (count > bytes_.size() / kItem) throw std::runtime_error("signals: cut short");
        const std::string_view all = take(count * kItem);
        value.resize(count);
        if (count > 0) std::memcpy(value.data(), all.data(), all.size());
      } else {
        if (count > bytes_.size()) throw std::runtime_error("signals: cut short");
        value.resize(count);
        for (auto& item : value) (*this)(item);
      }
    } else if constexpr (std::is_same_v<T, Findings>) {
      (*this)(value.language);
      (*this)(value.item);
      (*this)(value.span_begin);
      (*this)(value.span_end);
    } else {
      static_assert(std::is_trivially_copyable_v<T>);
      std::memcpy(&value, take(sizeof value).data(), sizeof value);
    }
  }

 private:
  uint64_t size() {
    uint64_t count = 0;
    (*this)(count);
    return count;
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) throw std::runtime_error("signals: cut short");
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  std::string_view bytes_;
};

template <class V, class Block>
void members(V& v, Block& b) {
  v(b.source), v(b.file), v(b.begin), v(b.end), v(b.shape);
  v(b.lines), v(b.bytes), v(b.tokens), v(b.signals), v(b.text_hashes), v(b.simple_hashes),
      v(b.answer_hashes);
  v(b.bands), v(b.sentences.ends), v(b.sentences.hashes);
  v(b.paragraphs.ends), v(b.paragraphs.hashes), v(b.occupations.ends), v(b.occupations.hashes),
      v(b.findings), v(b.faults);
}

// Values of one signal together: they are alike, and pack well.
std::vector<double> by_signal(const std::vector<double>& values, size_t rows, bool back) {
  std::vector<double> turned(values.size());
  const size_t columns = rows == 0 ? 0 : values.size() / rows;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const size_t row_major = r * columns + c, column_major = c * rows + r;
      turned[back ? row_major : column_major] = values[back ? column_major : row_major];
    }
  }
  return turned;
}

}  // namespace

void write_signal_block(const std::string& path, const std::string& key, const SignalBlock& block) {
  SignalBlock turned = block;
  turned.signals = by_signal(block.signals, block.size(), false);
  Writer writer;
  members(writer, turned);
  const std::string& bytes = writer.bytes();
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size)) throw std::runtime_error(path + ": can not pack signals");
  packed.resize(size);
  std::string file(kMagic);
  file += key + "\n" + hex16(bytes.size()) + hex16(hash_bytes(packed)) + "\n" + packed;
  const std::string temporary = temporary_name(path);
  write_file(temporary, file);
  std::filesystem::rename(temporary, path);
}

bool read_signal_block(const std::string& path, const std::string& key, SignalBlock& block) try {
  const std::string file = read_file(path);
  const std::string head = std::string(kMagic) + key + "\n";
  if (!file.starts_with(head) || file.size() < head.size() + 33) return false;
  const std::string_view rest = std::string_view(file).substr(head.size());
  const uint64_t size = std::stoull(std::string(rest.substr(0, 16)), nullptr, 16);
  const std::string_view packed = rest.substr(33);
  if (hex16(hash_bytes(packed)) != rest.substr(16, 16) || size > kMostBytes) return false;
  std::string bytes(size, '\0');
  if (ZSTD_decompress(bytes.data(), size, packed.data(), packed.size()) != size) return false;
  Reader reader(bytes);
  SignalBlock found;
  members(reader, found);
  found.signals = by_signal(found.signals, found.size(), true);
  block = std::move(found);
  return true;
} catch (const std::exception&) {
  return false;
}

}  // namespace lathe

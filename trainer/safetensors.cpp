#include "trainer/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "trainer/safetensors_json.h"

namespace lathe {
namespace {

constexpr std::pair<std::string_view, at::ScalarType> kTypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf},  {"BF16", at::kBFloat16},
    {"I64", at::kLong},   {"I32", at::kInt},   {"I16", at::kShort}, {"I8", at::kChar},
    {"U8", at::kByte},    {"BOOL", at::kBool},
};

std::runtime_error system_error(const std::string& what, const std::string& path) {
  return std::runtime_error(what + " " + path + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) throw system_error("cannot open", path);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const Descriptor file(path, O_RDONLY);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw system_error("cannot stat", path);
    if (!S_ISREG(status.st_mode)) throw std::invalid_argument(path + ": not a regular file");
    size_ = static_cast<size_t>(status.st_size);
    if (size_ == 0) return;
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) throw system_error("cannot map", path);
    data_ = static_cast<const char*>(address);
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

void write_all(int fd, const char* data, size_t bytes, const std::string& path) {
  while (bytes > 0) {
    // One write takes at most 2 GB on Linux.
    const ssize_t done = ::write(fd, data, std::min(bytes, size_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw system_error("cannot write", path);
    data += done;
    bytes -= static_cast<size_t>(done);
  }
}

// The temporary file, removed again unless it was moved into place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path)
      : path_(path),
        temporary_(path + ".tmp-" + std::to_string(::getpid())),
        file_(std::in_place, temporary_, O_WRONLY | O_CREAT | O_TRUNC, 0666) {}
  ~TemporaryFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const void* data, size_t bytes) {
    write_all(file_->get(), static_cast<const char*>(data), bytes, path_);
  }

  // The folder is synced too: without it a crash may forget the new name.
  void commit() {
    if (::fsync(file_->get()) != 0) throw system_error("cannot sync", temporary_);
    file_.reset();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0)
      throw system_error("cannot rename to", path_);
    temporary_.clear();
    const std::string folder = std::filesystem::path(path_).parent_path().string();
    const Descriptor directory(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
    if (::fsync(directory.get()) != 0) throw system_error("cannot sync", folder);
  }

 private:
  std::string path_, temporary_;
  std::optional<Descriptor> file_;
};

std::vector<std::pair<std::string, TensorEntry>> lay_out(const std::vector<TensorSpec>& specs,
                                                         const std::string& path) {
  std::vector<std::pair<std::string, TensorEntry>> entries;
  for (const TensorSpec& spec : specs) {
    entries.emplace_back(spec.name, TensorEntry{safetensors_dtype(spec.dtype), spec.shape, 0, 0});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const int rank_a = safetensors_dtype_rank(a.second.dtype),
              rank_b = safetensors_dtype_rank(b.second.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a.first < b.first;
  });
  uint64_t offset = 0;
  for (auto& [name, entry] : entries) {
    uint64_t bytes = static_cast<uint64_t>(safetensors_dtype_bits(entry.dtype)) / 8;
    for (const int64_t size : entry.shape) bytes *= static_cast<uint64_t>(size);
    entry.begin = offset;
    entry.end = offset += bytes;
  }
  // What the reader would refuse is not written.
  const std::string header = format_safetensors_header(entries);
  if (parse_safetensors_header(header, header.size() + offset, path).size() != specs.size()) {
    throw std::invalid_argument(path + ": two tensors of one name");
  }
  return entries;
}

}  // namespace

struct SafetensorsFile::Parts {
  std::string path;
  Mapping mapping;
  std::map<std::string, std::string> metadata;
  std::map<std::string, TensorEntry> entries;
  std::string_view data;

  explicit Parts(const std::string& path)
      : path(path),
        mapping(path),
        entries(parse_safetensors_header(mapping.bytes(), mapping.bytes().size(), path, &metadata)),
        data(mapping.bytes().substr(
            safetensors_data_begin(mapping.bytes(), mapping.bytes().size(), path))) {}

  const TensorEntry& entry(const std::string& name) const {
    const auto found = entries.find(name);
    if (found == entries.end())
      throw std::invalid_argument(path + ": no tensor " + json_quoted(name));
    return found->second;
  }
};

SafetensorsFile::SafetensorsFile(const std::string& path) : parts_(std::make_unique<Parts>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::string& SafetensorsFile::path() const { return parts_->path; }
const std::map<std::string, TensorEntry>& SafetensorsFile::entries() const {
  return parts_->entries;
}
const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return parts_->metadata;
}

std::string_view SafetensorsFile::bytes(const std::string& name) const {
  const TensorEntry& entry = parts_->entry(name);
  return parts_->data.substr(entry.begin, entry.end - entry.begin);
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const TensorEntry& entry = parts_->entry(name);
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                 [&](const auto& t) { return t.first == entry.dtype; });
  if (type == std::end(kTypes)) {
    throw std::invalid_argument(parts_->path + ": tensor " + json_quoted(name) + " has dtype " +
                                entry.dtype +
                                ", which cannot be computed with; convert it to F32, F16 or BF16");
  }
  const std::string_view data = bytes(name);
  if (type->second == at::kBool &&
      std::any_of(data.begin(), data.end(), [](char c) { return c != 0 && c != 1; })) {
    throw std::invalid_argument(parts_->path + ": tensor " + json_quoted(name) +
                                " is BOOL but holds bytes other than 0 and 1");
  }
  if (data.empty()) return at::empty(entry.shape, type->second);
  if (reinterpret_cast<uintptr_t>(data.data()) % at::elementSize(type->second) != 0) {
    at::Tensor copy = at::empty(entry.shape, type->second);
    std::memcpy(copy.mutable_data_ptr(), data.data(), data.size());
    return copy;
  }
  return at::from_blob(const_cast<char*>(data.data()), entry.shape, type->second);
}

void write_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                       const std::function<at::Tensor(const std::string&)>& value) {
  const auto entries = lay_out(specs, path);
  TemporaryFile file(path);
  const std::string header = format_safetensors_header(entries);
  file.write(header.data(), header.size());
  for (const auto& [name, entry] : entries) {
    const at::Tensor tensor = value(name).detach().to(at::kCPU).contiguous();
    if (safetensors_dtype(tensor.scalar_type()) != entry.dtype ||
        tensor.sizes() != at::IntArrayRef(entry.shape)) {
      throw std::logic_error(path + ": tensor " + json_quoted(name) +
                             " is not of the dtype and shape it was announced with");
    }
    file.write(tensor.const_data_ptr(), tensor.nbytes());
  }
  file.commit();
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  std::vector<TensorSpec> specs;
  std::map<std::string, at::Tensor> values;
  for (const NamedTensor& named : tensors) {
    specs.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
    values.emplace(named.name, named.tensor);
  }
  write_safetensors(path, specs, [&](const std::string& name) { return values.at(name); });
}

std::string safetensors_dtype(at::ScalarType type) {
  for (const auto& [name, known] : kTypes) {
    if (known == type) return std::string(name);
  }
  throw std::invalid_argument(std::string("safetensors has no name for the type ") +
                              c10::toString(type));
}

}  // namespace lathe

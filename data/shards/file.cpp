#include "data/shards/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>

#include "data/shards/hash.h"

namespace lathe {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw std::runtime_error(fmt::format("{}: can not {}: {}", path, action, std::strerror(errno)));
}

}  // namespace

ReadFile::ReadFile(std::string path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(path_, "open");
  struct stat status;
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    throw std::runtime_error(path_ + ": is not a regular file");
  }
  bytes_ = static_cast<uint64_t>(status.st_size);
}

ReadFile::~ReadFile() {
  if (map_) ::munmap(map_, bytes_);
  ::close(fd_);
}

void ReadFile::fail_cut(uint64_t end, uint64_t missing) const {
  throw std::runtime_error(fmt::format(
      "{}: ends at byte {}, {} more were expected: the file was cut short", path_, end, missing));
}

const char* ReadFile::view(uint64_t offset, size_t size) const {
  struct stat status;
  if (::fstat(fd_, &status) != 0) fail(path_, "read");
  const uint64_t now = std::min(bytes_, static_cast<uint64_t>(status.st_size));
  if (offset > now || size > now - offset) fail_cut(now, offset + size - now);
  std::call_once(mapped_, [&] {
    void* map = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd_, 0);
    if (map == MAP_FAILED) fail(path_, "map");
    map_ = map;
  });
  return static_cast<const char*>(map_) + offset;
}

const char* ReadFile::view_now(uint64_t offset, size_t size) const {
  const char* bytes = view(offset, size);
  constexpr uintptr_t kPage = 4096;
  constexpr int kPopulateRead =
      22;  // MADV_POPULATE_READ, Linux 5.14; older ones fault page by page
  const auto begin = reinterpret_cast<uintptr_t>(bytes) / kPage * kPage;
  ::madvise(reinterpret_cast<void*>(begin), reinterpret_cast<uintptr_t>(bytes) + size - begin,
            kPopulateRead);
  return bytes;
}

void ReadFile::read(void* into, size_t size, uint64_t offset) const {
  auto* to = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t got = ::pread(fd_, to, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, "read");
    if (got == 0) fail_cut(offset, size);
    to += got;
    size -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

uint64_t ReadFile::hash(uint64_t begin, uint64_t end) const {
  std::vector<char> buffer(256 << 10);
  Hasher hasher;
  while (begin < end) {
    const size_t size = std::min<uint64_t>(buffer.size(), end - begin);
    read(buffer.data(), size, begin);
    hasher.add(buffer.data(), size);
    begin += size;
  }
  return hasher.digest();
}

std::string temporary_name(const std::string& path) {
  std::random_device random;
  return fmt::format("{}.tmp-{}-{:08x}", path, ::getpid(), random());
}

namespace {

void write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int cause = errno;
      ::close(fd);
      errno = cause;
      fail(path, "write");
    }
    bytes.remove_prefix(static_cast<size_t>(put));
  }
}

template <class Pieces>
void write_pieces(const std::string& path, const Pieces& pieces) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) fail(path, "create");
  for (const auto& piece : pieces) write_all(fd, path, piece);
  if (::close(fd) != 0) fail(path, "close");
}

}  // namespace

void write_file(const std::string& path, std::string_view bytes) {
  write_pieces(path, std::span(&bytes, 1));
}

void write_file(const std::string& path, std::span<const std::string> pieces) {
  write_pieces(path, pieces);
}

std::string read_file(const std::string& path) {
  const ReadFile file(path);
  std::string bytes(file.bytes(), '\0');
  file.read(bytes.data(), bytes.size(), 0);
  return bytes;
}

void sync_path(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path, "open");
  const int status = ::fsync(fd);
  const int cause = errno;
  ::close(fd);
  errno = cause;
  if (status != 0) fail(path, "fsync");
}

void publish(const std::string& temporary, const std::string& path) {
  sync_path(temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    fail(path, "rename the finished file to this name");
  const std::string folder = std::filesystem::path(path).parent_path().string();
  sync_path(folder.empty() ? "." : folder);
}

}  // namespace lathe

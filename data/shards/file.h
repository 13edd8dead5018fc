#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

// Files read by position and published whole: what a reader can see under its final name is
// complete and on the disk. Failures are std::runtime_error with the path and the system's words.
namespace lathe {

class ReadFile {
 public:
  explicit ReadFile(std::string path);
  ~ReadFile();
  ReadFile(const ReadFile&) = delete;
  ReadFile& operator=(const ReadFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }  // when it was opened
  // Exactly size bytes at offset; an end of file before that is an error. Thread-safe.
  void read(void* into, size_t size, uint64_t offset) const;
  // The bytes at [offset, offset + size) where they lie in the page cache, valid as long as this
  // object. That the file still has them is asked first; should it be cut between the question and
  // the use, the system sends SIGBUS (launch/signals.h). Thread-safe.
  const char* view(uint64_t offset, size_t size) const;
  // The same for bytes that are read now, once: their pages are entered at one stroke.
  const char* view_now(uint64_t offset, size_t size) const;
  // xxh64 of [begin, end).
  uint64_t hash(uint64_t begin, uint64_t end) const;

 private:
  [[noreturn]] void fail_cut(uint64_t end, uint64_t missing) const;

  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  mutable std::once_flag mapped_;
  mutable void* map_ = nullptr;
};

// <path>.tmp-<pid>-<nonce>: in the same folder, so that a rename is atomic.
std::string temporary_name(const std::string& path);
void write_file(const std::string& path, std::string_view bytes);
void write_file(const std::string& path, std::span<const std::string> pieces);
std::string read_file(const std::string& path);
void sync_path(const std::string& path);  // fsync of a file or a folder
// fsync of temporary, rename to path, fsync of the folder that holds it.
void publish(const std::string& temporary, const std::string& path);

}  // namespace lathe

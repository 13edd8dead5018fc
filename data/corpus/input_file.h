#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

// The bytes of a file, unpacked where it is gzip or zstd (told by its first bytes, never by its
// name), in bounded memory whatever the file claims.
namespace lathe {

class InputFile {
 public:
  // Throws std::invalid_argument when it can not be opened or is a folder.
  explicit InputFile(std::string path);
  ~InputFile();

  // Up to 4096 bytes from the start, for a look at what the file is; read() gives them again.
  std::string_view head() const;
  // The next bytes, at most size; 0 at the end. Throws std::invalid_argument for a packed file that
  // is damaged or cut off.
  size_t read(char* to, size_t size);
  // Passes over bytes; fewer where the file ends before.
  void skip(int64_t bytes);

  const std::string& path() const;
  int64_t bytes_read() const;  // of the file as it lies on the disk
  int64_t bytes_total() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

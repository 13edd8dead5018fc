#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// A text file line after line, in bounded memory: never more than the longest line allowed.
namespace lathe {

inline constexpr size_t kMostLineBytes = 16 << 20;

class LineReader {
 public:
  explicit LineReader(std::string path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its end (\n or \r\n; the last may have none); a byte order mark at the
  // start of the file is skipped. Valid until the next call. Throws std::invalid_argument for a
  // line over kMostLineBytes.
  std::optional<std::string_view> next();
  int64_t line() const { return line_; }  // 1-based number of the line that next() gave last
  int64_t bytes_read() const { return read_ - static_cast<int64_t>(end_ - begin_); }
  int64_t bytes_total() const { return total_; }

 private:
  bool fill();  // reads more behind what is there; false at the end of the file

  std::string path_;
  int fd_ = -1;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of buffer_: read, not yet given
  int64_t line_ = 0, read_ = 0, total_ = 0;
  bool over_ = false;
};

}  // namespace lathe

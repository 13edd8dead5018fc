#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/corpus/input_file.h"

// A text file line after line, in bounded memory: never more than the longest line allowed.
namespace lathe {

inline constexpr size_t kMostLineBytes = 16 << 20;

class LineReader {
 public:
  explicit LineReader(InputFile& file) : file_(file) {}  // file must outlive it

  // The next line without its end (\n or \r\n; the last may have none); a byte order mark at the
  // start of the file is skipped. Valid until the next call. Throws BadRecord for a line over
  // kMostLineBytes.
  std::optional<std::string_view> next();
  int64_t line() const { return line_; }      // 1-based number of the line that next() gave last
  int64_t offset() const { return offset_; }  // bytes of the unpacked file behind that line
  void seek(int64_t offset, int64_t line);    // before the first next(), behind that line

 private:
  bool fill();       // reads more behind what is there; false at the end of the file
  void pass_rest();  // of a line that was refused

  InputFile& file_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of buffer_: read, not yet given
  int64_t line_ = 0, offset_ = 0;
  bool over_ = false, refused_ = false;
};

}  // namespace lathe

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/input_file.h"

// The items of a file that holds one JSON list, one after another, in bounded memory: never more
// than the longest item allowed. Items are cut out by brackets and quotes; whether one is JSON is
// for its parser to say.
namespace lathe {

class ItemReader {
 public:
  explicit ItemReader(InputFile& file) : file_(file), buffer_(1 << 16) {}  // file must outlive it

  // Whether a file that begins like this holds a list.
  static bool is_list(std::string_view head);

  // The next item. Valid until the next call. Throws std::invalid_argument for a list that is not
  // whole or goes on behind its end, and for an item over kMostLineBytes.
  std::optional<std::string_view> next();
  int64_t line() const { return item_line_; }  // 1-based line on which that item begins
  int64_t next_line() const { return line_; }
  int64_t offset() const { return offset_; }  // bytes of the unpacked file behind that item
  void seek(int64_t offset, int64_t line);    // before the first next(), behind an item

 private:
  std::optional<char> peek();  // nothing at the end of the file
  void take();
  std::optional<char> peek_after_space();
  void read_item();
  [[noreturn]] void fail(const std::string& what) const;

  InputFile& file_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  std::string item_;
  int64_t line_ = 1, item_line_ = 0, offset_ = 0;
  bool opened_ = false, closed_ = false;
};

}  // namespace lathe

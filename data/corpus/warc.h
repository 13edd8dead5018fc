#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/input_file.h"

// The plain texts of a WARC file (ISO 28500; Common Crawl's .warc.wet) as JSON objects {"text",
// "url", "id", "date"}, in bounded memory. Texts are conversion records of text/plain, and
// responses whose HTTP header says 200, text/plain and no encoding; other records are passed over:
// they hold no text.
namespace lathe {

class WarcReader {
 public:
  explicit WarcReader(InputFile& file) : file_(file) {}  // file must outlive it

  // Whether a file that begins like this is one.
  static bool is_warc(std::string_view head) { return head.starts_with("WARC/"); }

  // The next text. Valid until the next call. Throws BadRecord for a text over kMostLineBytes or
  // that is not UTF-8; std::invalid_argument where the next record can not be found: a header
  // that is none, a Content-Length that is missing or no length, a file that ends within a record.
  std::optional<std::string_view> next();
  int64_t line() const { return record_line_; }  // 1-based, where that record begins
  int64_t next_line() const { return line_; }
  int64_t offset() const { return offset_; }  // bytes of the unpacked file behind that record
  void seek(int64_t offset, int64_t line);    // before the first next(), behind a record

 private:
  using Header = std::map<std::string, std::string>;  // names in small letters

  bool fill();  // false at the end of the file
  // Up to and without its end; nothing at the end of the file. At most `most` bytes are taken.
  std::optional<std::string> read_line(int64_t most);
  bool find_record();  // its first line; false at the end of the file
  Header read_header();
  // Of an HTTP response, of which `left` bytes are not read yet.
  bool is_plain_response(int64_t& left);
  // Takes bytes, and keeps them where text is given.
  void take(int64_t count, std::string* text);
  std::string_view make_json(const Header& header, const std::string& text);
  [[noreturn]] void fail(const std::string& what) const;

  InputFile& file_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  std::string json_;
  int64_t line_ = 1, record_line_ = 0, offset_ = 0;
};

}  // namespace lathe

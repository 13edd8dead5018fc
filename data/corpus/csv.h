#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus/input_file.h"

// The rows of a CSV file (RFC 4180) as JSON objects, in bounded memory. The first row names the
// columns. A cell in quotes may hold separators, line ends and quotes written twice; every cell is
// a text. Rows without a cell are left out.
namespace lathe {

class CsvReader {
 public:
  CsvReader(InputFile& file, char separator) : file_(file), separator_(separator) {}

  // The next row as {"column": "cell", ...}. Valid until the next call. Throws BadRecord for a row
  // with more or fewer cells than the header or text that is not UTF-8, std::invalid_argument
  // for quotes that do not close and a row over kMostLineBytes.
  std::optional<std::string_view> next();
  int64_t line() const { return row_line_; }  // 1-based, where that row begins
  int64_t next_line() const { return line_; }
  int64_t offset() const { return offset_; }  // bytes of the unpacked file behind that row
  void seek(int64_t offset, int64_t line);    // before the first next(), behind a row

 private:
  std::optional<char> peek();  // nothing at the end of the file
  void take();
  bool read_row();  // into cells_; false at the end
  void read_cell();
  void read_quoted(std::string& cell);
  void read_header();
  [[noreturn]] void fail(int64_t line, const std::string& what) const;
  [[noreturn]] void refuse_row(const std::string& what) const;
  void check_size();

  InputFile& file_;
  char separator_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  std::vector<std::string> columns_;  // as JSON strings
  std::vector<std::string> cells_;
  std::string json_;
  size_t row_bytes_ = 0;
  int64_t line_ = 1, row_line_ = 0, offset_ = 0;
};

// The separator of a .csv or .tsv file, perhaps packed (.csv.gz); nothing for any other name.
std::optional<char> csv_separator(std::string_view path);

}  // namespace lathe

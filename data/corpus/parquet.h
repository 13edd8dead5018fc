#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

// The rows of a Parquet file as JSON objects {"column": value, ...}, in bounded memory: a few pages
// of every column and 64 rows. Lists and structs are JSON's, null, NaN and infinity are null, what
// JSON has no type for (dates, decimals) is a text. Built with -DLATHE_WITH_PARQUET=ON; without,
// the constructor says so.
namespace lathe {

class ParquetReader {
 public:
  // Whether a file of this name that begins like this is one.
  static bool is_parquet(std::string_view path, std::string_view head) {
    return path.ends_with(".parquet") || head.starts_with("PAR1");
  }

  // Throws std::invalid_argument for a file that is damaged, cut off or packed as a whole.
  explicit ParquetReader(std::string path);
  ~ParquetReader();

  // The next row. Valid until the next call. Throws BadRecord for a row over kMostLineBytes or with
  // text that is not UTF-8, std::invalid_argument where the file is damaged.
  std::optional<std::string_view> next();
  int64_t row() const;         // 1-based, of that row; 0 before the first
  void seek(int64_t row);      // before the first next(), behind that row
  int64_t bytes_read() const;  // of the file, about

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

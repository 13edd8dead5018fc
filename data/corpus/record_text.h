#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "data/corpus/corpus.h"
#include "data/corpus/csv.h"
#include "data/corpus/input_file.h"
#include "data/corpus/items.h"
#include "data/corpus/lines.h"
#include "data/corpus/parquet.h"
#include "data/corpus/warc.h"

// The text of one record after another, however the file holds them.
namespace lathe {

inline constexpr size_t kMostDocumentBytes = 256 << 20;

class RecordTexts {
 public:
  // Rows of a .csv or .tsv, one document where document is true, a list where the file begins with
  // [, texts of a WARC file where it begins with WARC/, rows of a Parquet file, else a record a
  // line. Throws std::invalid_argument for formats that are not read.
  RecordTexts(InputFile& file, bool document);

  // Valid until the next call; blank lines are left out.
  std::optional<std::string_view> next();
  int64_t line() const;           // 1-based, where that record begins
  FilePosition position() const;  // behind that record; of a Parquet file in rows
  int64_t bytes_read() const;     // of the file as it lies on the disk
  // Goes behind a record, to a position() of the same file, before the first next().
  void seek(FilePosition position);
  bool is_document() const { return kind_ == Kind::kDocument; }
  const char* expected() const;  // what a record has to be

 private:
  enum class Kind { kLines, kList, kRows, kWarc, kParquet, kDocument };
  std::optional<std::string_view> document();

  InputFile& file_;
  Kind kind_;
  LineReader lines_;
  ItemReader items_;
  CsvReader rows_;
  WarcReader warc_;
  std::unique_ptr<ParquetReader> parquet_;  // of a Parquet file
  std::string document_;
  bool document_given_ = false;
};

// A .txt file, perhaps packed (.txt.gz, .txt.zst).
bool is_document_name(std::string_view path);

}  // namespace lathe

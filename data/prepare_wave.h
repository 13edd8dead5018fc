#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus/record_parser.h"
#include "data/prepare_record.h"

// Records of a file that are read together, tokenised on all threads, and written in their order.
namespace lathe {

struct WaveRecord {
  size_t begin = 0, size = 0;  // of Wave::bytes
  int64_t line = 0;
  FilePosition end;
  std::string fault;           // why it can not be read or rendered; empty: prepared holds it
  std::exception_ptr failure;  // what is nobody's fault
  PreparedRecord prepared;
};

struct Wave {
  size_t file = 0;
  Shape shape = Shape::kAuto;
  std::string reason;  // of the shape
  std::string bytes;   // of the records, one after another
  std::vector<WaveRecord> records;
  std::vector<std::unique_ptr<RecordParser>> parsers;  // one a thread
  std::exception_ptr failure;  // what ended the reading behind the last of the records
  int64_t bytes_done = 0;      // of all files, as they lie on the disk
};

// Reads files wave after wave.
class WaveReader {
 public:
  // Begins in files[file] at position; the shape is then known.
  WaveReader(const PrepareOptions& options, size_t file, FilePosition position, Shape shape);
  // Nothing at the end of the last file. Never throws for what is wrong with the data.
  std::optional<Wave> next();
  int64_t bytes_total() const { return bytes_total_; }
  int64_t bytes_before() const;  // of the files before the one that is read, and what is read of it

 private:
  void open();
  void fill(Wave& wave);

  const PrepareOptions& options_;
  size_t file_;
  FilePosition position_;
  Shape shape_;
  std::unique_ptr<CorpusFile> corpus_;
  int64_t bytes_total_ = 0, bytes_before_ = 0;
};

// Fills in prepared or fault of every record. Meanwhile the calling thread does `aside` first.
void prepare_wave(Wave& wave, const PrepareOptions& options, const Tokenizer& tokenizer,
                  const std::optional<ChatFormat>& format, const std::function<void()>& aside);

}  // namespace lathe

#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus/record_parser.h"
#include "data/curate/curate.h"
#include "data/curate/signal_block.h"

namespace lathe {

// Records of one file as they stand there, one after another.
struct RawBlock {
  uint32_t source = 0, file = 0;
  FilePosition begin, end;
  Shape shape = Shape::kAuto;
  std::string bytes;
  struct Raw {
    size_t begin = 0, size = 0;  // of bytes
    int64_t line = 0;
    std::string fault;
  };
  std::vector<Raw> records;
  std::vector<std::shared_ptr<RecordParser>> parsers;  // one a thread; made once per file
  std::exception_ptr failure;  // what ended the reading behind the last record
  int64_t bytes_done = 0;      // of the file, as it lies on the disk

  std::string_view text(size_t i) const {
    return std::string_view(bytes).substr(records[i].begin, records[i].size);
  }
};

// Reads blocks of all sources in their order.
class BlockReader {
 public:
  explicit BlockReader(const CurateOptions& options) : options_(options) {}
  // Nothing at the end of the last file. Where a file is damaged, the records before are given and
  // failure says what is wrong.
  std::optional<RawBlock> next();
  // Goes behind a block that was read before.
  void pass(const SignalBlock& block);

 private:
  const CurateOptions& options_;
  uint32_t source_ = 0, file_ = 0;
  FilePosition position_;
  Shape shape_ = Shape::kAuto;
  std::unique_ptr<CorpusFile> corpus_;
  std::vector<std::shared_ptr<RecordParser>> parsers_;
};

// What a thread measures with.
struct Measurer {
  Measurer(const CurateOptions& options, const Resources& shared)
      : resources(shared), minhash(options.minhash) {}
  const Resources& resources;
  MinHash minhash;
  SplitText split;
  SimpleText simple;
  Workspace work;
  std::vector<uint64_t> bands;

  Measured measured(const Document& document, Findings& findings) {
    return {document, split, simple, work, resources, findings};
  }
};

// The record as filters see it; chat of the result points into the record. Throws
// std::invalid_argument for token ids, which have no text.
Document document_of(const Record& record);
// The same; a text that is all there is is moved out of the record.
Document take_document(Record& record);

// Fills the block's columns, records shared by the threads. Meanwhile the calling thread does
// `aside` first.
SignalBlock measure_block(const RawBlock& raw, const CurateOptions& options,
                          std::vector<std::unique_ptr<Measurer>>& measurers,
                          const std::function<void()>& aside);

// What wanted(i) asks for of a block's texts, the others empty. Records that can not be read must
// not be wanted.
std::vector<std::string> texts_of(const RawBlock& raw, int threads,
                                  const std::function<bool(size_t)>& wanted);

// work(thread, i) for i from 0 on, on all threads; the first exception is thrown again.
void share_work(size_t threads, size_t count, const std::function<void(size_t, size_t)>& work,
                const std::function<void()>& aside);

}  // namespace lathe

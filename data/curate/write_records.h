#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/curate/decide.h"
#include "data/curate/measure_block.h"

namespace lathe {

// A block's records as lines of the kept and the excluded file, in their order, in pieces.
struct BlockLines {
  std::vector<std::string> kept, excluded;
};

// What a record of a source was decided by, with versions: ["gopher_quality@1", ...].
std::string decisions_json(const CurateOptions& options, const CurateSource& source);

class RecordWriter {
 public:
  RecordWriter(const CurateOptions& options, const Rules& rules, const Decisions& decisions,
               const Contamination* contamination);

  // Meanwhile the calling thread does `aside` first.
  BlockLines write(size_t block_number, const RawBlock& raw, const SignalBlock& block,
                   std::vector<std::unique_ptr<Measurer>>& measurers,
                   const std::function<void()>& aside) const;

 private:
  void write_kept(std::string& line, const RawBlock& raw, const SignalBlock& block, size_t i,
                  size_t number, RecordParser& parser, Measurer& measurer) const;
  void write_excluded(std::string& line, const RawBlock& raw, const SignalBlock& block, size_t i,
                      size_t number) const;
  // Whether the record's text differs from the file's own bytes.
  bool changes(const RawBlock& raw, const SignalBlock& block, size_t i, size_t number) const;
  // The record's JSON, changed where text has to change.
  std::string changed(const RawBlock& raw, const SignalBlock& block, size_t i, size_t number,
                      RecordParser& parser, Measurer& measurer) const;
  void add_origin(std::string& line, const RawBlock& raw, const SignalBlock& block, size_t i,
                  size_t number, bool kept) const;

  const CurateOptions& options_;
  const Rules& rules_;
  const Decisions& decisions_;
  const Contamination* contamination_;
  // By source: what is the same for all its records.
  std::vector<std::string> origins_, decided_by_;
  // By source and file: the id of a record up to its line.
  std::vector<std::vector<std::string>> ids_;
};

}  // namespace lathe

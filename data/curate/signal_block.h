#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/corpus/corpus.h"
#include "data/curate/document.h"

namespace lathe {

// Several hashes per record.
struct HashLists {
  std::vector<uint32_t> ends;  // where each record's end
  std::vector<uint64_t> hashes;

  std::span<const uint64_t> at(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(hashes).subspan(begin, ends[i] - begin);
  }
};

// What was measured of one block of records: one entry per record in every column.
struct SignalBlock {
  uint32_t source = 0, file = 0;  // of the options
  FilePosition begin, end;
  Shape shape = Shape::kAuto;

  std::vector<uint32_t> lines;
  std::vector<uint32_t> bytes;                                      // of the text
  std::vector<uint32_t> tokens;                                     // of the text; 0: not counted
  std::vector<double> signals;                                      // num_signals() per record
  std::vector<uint64_t> text_hashes, simple_hashes, answer_hashes;  // 0: none
  std::vector<uint64_t> bands;  // bands per record; 0: too short for n-grams
  HashLists sentences, paragraphs;  // of spans; empty where they are not looked for
  HashLists occupations;            // Occupations::pack
  std::vector<Findings> findings;
  std::vector<std::string> faults;  // why it can not be read; empty: it can

  size_t size() const { return lines.size(); }
};

// A file that holds a block, with a hash of all it holds. Writing is atomic.
void write_signal_block(const std::string& path, const std::string& key, const SignalBlock& block);
// False where it is not there, damaged, or measured under another key.
bool read_signal_block(const std::string& path, const std::string& key, SignalBlock& block);

}  // namespace lathe

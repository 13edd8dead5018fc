#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/curate/split_text.h"

namespace lathe {

struct UnigramOptions {
  std::string frequencies;         // file of words with their counts; empty: none
  std::vector<std::string> files;  // else: texts in which they are counted
  bool empty() const { return frequencies.empty() && files.empty(); }
};

// How often words occur, small letters all. Words are cut as those of filters are, marks among
// them; one that is not listed counts as one in a thousand million (peS2o's and datatrove's
// definition). Memory: some 50 bytes per different word.
class Unigrams {
 public:
  // Of a file "word,count" (or tab, or blanks) with or without a head line, plain or packed, or
  // of texts. Throws std::invalid_argument with file:line for what is no count, and where there are
  // both or no word at all.
  Unigrams(const UnigramOptions& options, int threads);

  // Natural logarithm of the words' shares, the mean over the words of a text; 0 without a word.
  double mean_log_probability(const SplitText& text) const;
  size_t size() const { return log_probabilities_.size(); }

 private:
  void read(const std::string& path);
  void count(const std::vector<std::string>& files, int threads);
  void finish(const std::string& where);

  std::unordered_map<uint64_t, double> counts_, log_probabilities_;  // by hash of the word
};

}  // namespace lathe

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data/tokenize/splitter.h"

// How often each word stands in texts, cut as a byte-level tokenizer cuts them. What a tokenizer is
// trained from.
namespace lathe {

class WordCounts {
 public:
  explicit WordCounts(Splitter::Pattern pattern) : splitter_(pattern) {}

  // The text is cut on its own: no word crosses into the next. Throws std::invalid_argument when it
  // is not valid UTF-8.
  void add(std::string_view text);
  void add(const WordCounts& other);

  int64_t words() const { return words_; }
  const auto& counts() const { return counts_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  void add_word(std::string_view word, int64_t count);

  Splitter splitter_;
  int64_t words_ = 0;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> counts_;
};

}  // namespace lathe

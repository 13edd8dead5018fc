#include "data/tokenize/word_counts.h"

#include <stdexcept>

#include "data/tokenize/unicode.h"

namespace lathe {

void WordCounts::add_word(std::string_view word, int64_t count) {
  words_ += count;
  const auto known = counts_.find(word);
  if (known != counts_.end()) {
    known->second += count;
  } else {
    counts_.emplace(word, count);
  }
}

void WordCounts::add(std::string_view text) {
  if (!is_valid_utf8(text)) throw std::invalid_argument("the text is not valid UTF-8");
  splitter_.split(text, [&](const char* begin, const char* end) {
    add_word({begin, static_cast<size_t>(end - begin)}, 1);
  });
}

void WordCounts::add(const WordCounts& other) {
  for (const auto& [word, count] : other.counts_) add_word(word, count);
}

}  // namespace lathe

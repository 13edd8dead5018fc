#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/curate/split_text.h"

// A document as near-duplicates and contamination are compared: small letters, numbers as 0, no
// punctuation, no accents, one blank between words. The order of the steps is datatrove's
// simplify_text, and the words are cut again as its tokenizer would cut the result, so that n-grams
// agree with it.
namespace lathe {

class SimpleText {
 public:
  // The text must be valid UTF-8.
  void make(std::string_view text);

  std::string_view text() const { return {buffer_.data(), size_}; }  // words with one blank between
  size_t num_words() const { return begins_.size(); }
  std::string_view word(size_t i) const { return piece(i, 1); }
  // Words i to i + count - 1 with the blanks between them.
  std::string_view piece(size_t i, size_t count) const {
    return {buffer_.data() + begins_[i], ends_[i + count - 1] - begins_[i]};
  }
  const std::vector<uint64_t>& hashes() const { return hashes_; }  // of the words
  // Bytes of the original text: where word i begins and ends.
  uint32_t source_begin(size_t i) const { return sources_[i].first; }
  uint32_t source_end(size_t i) const { return sources_[i].second; }

 private:
  void add_word(uint32_t begin, uint32_t end, uint32_t source_begin, uint32_t source_end);
  void finish_chunk(size_t begin, bool plain, uint32_t source_begin, uint32_t source_end);
  void cut_chunk(size_t begin, uint32_t source_begin, uint32_t source_end);
  bool add_wide(uint32_t code_point, bool& plain);

  std::string buffer_;
  size_t size_ = 0;
  std::vector<uint32_t> begins_, ends_;
  std::vector<uint64_t> hashes_;
  std::vector<std::pair<uint32_t, uint32_t>> sources_;
  SplitText cutter_;
  std::string chunk_;
};

}  // namespace lathe

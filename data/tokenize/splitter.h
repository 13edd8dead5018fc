#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/tokenize/spec.h"

// Cuts text into words as the patterns of the byte-level families do, without a regex engine: one
// walk, linear in every case. The PCRE2 path gives the same words, slower.
namespace lathe {

class Splitter {
 public:
  enum class Pattern { kGpt2, kGpt2Digits, kLlama3, kQwen2 };

  // Which pattern these steps come to, if it is one of them.
  static std::optional<Pattern> pattern_of(const std::vector<PreTokenizerStep>& steps);

  explicit Splitter(Pattern pattern);

  // Where the word that begins at p ends. p < end; the text is valid UTF-8.
  const char* word_end(const char* p, const char* end) const {
    return gpt2_ ? gpt2_word_end(p, end) : llama3_word_end(p, end);
  }

 private:
  enum Class : uint8_t { kOther, kLetter, kNumber, kSpace, kNewline, kEnd };
  struct Character {
    Class kind;
    uint8_t size;
  };
  Character at(const char* p, const char* end) const;
  const char* run(const char* p, const char* end, Class kind) const;
  const char* white_space_end(const char* p, const char* end, bool digits_end) const;
  const char* gpt2_word_end(const char* p, const char* end) const;
  const char* llama3_word_end(const char* p, const char* end) const;

  bool gpt2_, digits_alone_ = false;
  int max_digits_ = 1;
  std::vector<Class> classes_;  // of U+0000 ... U+FFFF
};

}  // namespace lathe

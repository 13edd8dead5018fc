#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/tokenize/character_bits.h"
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

  // Calls visit(begin, end) with each word of the text, which is valid UTF-8.
  template <typename Visit>
  void split(std::string_view text, Visit&& visit) const {
    const char* p = text.data();
    const char* const end = p + text.size();
    CharacterBits bits;
    CharacterBits::Row starts;
    while (p < end) {
      bits.fill(p, std::min<size_t>(CharacterBits::kMaxBytes, static_cast<size_t>(end - p)),
                kinds_);
      const size_t limit = find_starts(bits, end, starts);
      size_t word = 0;
      for (size_t w = 0; w * 64 < limit; ++w) {
        uint64_t rest = w == 0 ? starts[0] & ~uint64_t{1} : starts[w];
        if (limit - w * 64 < 64) rest &= ~(~uint64_t{0} << (limit - w * 64));
        for (; rest != 0; rest &= rest - 1) {
          const size_t next = w * 64 + static_cast<size_t>(std::countr_zero(rest));
          visit(p + word, p + next);
          word = next;
        }
      }
      const char* const begin = p + word;
      p = bits.size == static_cast<size_t>(end - p) ? end
          : word == 0                               ? word_end_plain(begin, end)
                                                    : begin;
      if (p != begin) visit(begin, p);
    }
  }

  // Where the word that begins at p ends, by a walk over the characters: what split() must equal,
  // and what it does with words of thousands of bytes.
  const char* word_end_plain(const char* p, const char* end) const {
    return gpt2_ ? gpt2_word_end_plain(p, end) : llama3_word_end_plain(p, end);
  }

 private:
  enum Class : uint8_t { kOther, kLetter, kNumber, kSpace, kNewline, kEnd };
  struct Character {
    Class kind;
    uint8_t size;
  };
  Character at(const char* p, const char* end) const;
  const char* run(const char* p, const char* end, Class kind) const;
  const char* white_space_end_plain(const char* p, const char* end, bool digits_end) const;
  const char* gpt2_word_end_plain(const char* p, const char* end) const;
  const char* llama3_word_end_plain(const char* p, const char* end) const;

  // Where words begin, as bits; those from the limit that is returned on are not to be trusted,
  // since they depend on what is behind the window. end: of the text.
  size_t find_starts(CharacterBits& bits, const char* end, CharacterBits::Row& starts) const;
  void find_gpt2_starts(const CharacterBits& bits, CharacterBits::Row& starts) const;
  void find_llama3_starts(const CharacterBits& bits, CharacterBits::Row& starts) const;

  bool gpt2_, digits_alone_ = false;
  int max_digits_ = 1;
  std::vector<Class> classes_;        // of U+0000 ... U+FFFF
  std::vector<CharacterKind> kinds_;  // the same without kNewline
};

}  // namespace lathe

#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/curate/hash_word.h"
#include "data/curate/ngram_table.h"
#include "data/curate/special_words.h"
#include "data/curate/text_bits.h"

// A document cut into words and lines, once, for every filter that asks about them.
namespace lathe {

struct Word {
  uint32_t begin = 0, size = 0;  // bytes of the text
  uint32_t chars = 0;            // code points
  uint32_t bits = 0;             // WordBit
  uint64_t hash = 0;             // of its bytes
  uint64_t small_hash = 0;       // of its letters made small, where it is kAlone
};

enum WordBit : uint32_t {
  kHasLetter = 1,    // of any script
  kAllSymbols = 2,   // nothing but punctuation and controls
  kSentenceEnd = 4,  // a single character that ends sentences
  kAllMarks = 8,     // nothing but characters of category P
  kAlone = 16,       // ASCII letters, between what is ASCII, no letter, no digit; uncut when small
  kBetween = 32      // ASCII without a letter or digit
};

struct TextLine {
  uint32_t begin = 0, end = 0;              // bytes, without the line's end
  uint32_t inner_begin = 0, inner_end = 0;  // without the white space around it
  uint32_t first_word = 0, end_word = 0;    // its words
  uint32_t chars = 0;                       // code points, without the line's end
  uint32_t upper = 0, digits = 0;           // A to Z, 0 to 9
  bool repeated = false;  // of pieces() that are not empty: one before is the same
};

// Words are cut as spaCy's English tokenizer cuts them, which is what the published thresholds were
// measured with: at white space, then marks and quotes off both ends, then hyphens and the like
// between letters, "don't" into "do" and "n't". Not followed: emoticons. Reused from document to
// document, so that nothing is allocated in the long run. Not thread-safe.
class SplitText {
 public:
  // The text is copied. It must be valid UTF-8, shorter than 2^32 bytes.
  void split(std::string_view text);

  std::string_view text() const { return {buffer_.data(), size_}; }
  std::string_view text_of(const Word& word) const {
    return {buffer_.data() + word.begin, word.size};
  }
  std::string_view text_of(const TextLine& line) const {
    return {buffer_.data() + line.begin, line.end - line.begin};
  }
  std::string_view inner_of(const TextLine& line) const {
    return {buffer_.data() + line.inner_begin, line.inner_end - line.inner_begin};
  }
  const TextCounts& counts() const { return bits_.counts; }
  int64_t chars() const { return static_cast<int64_t>(size_) - bits_.counts.continuations; }
  bool is_ascii() const { return bits_.counts.not_ascii == 0; }
  std::span<const Word> words() const { return {words_.data(), num_words_}; }
  const std::vector<TextLine>& lines() const { return lines_; }  // as Python's splitlines() cuts
  // What newlines alone cut; no empty last one.
  const std::vector<TextLine>& pieces() const { return newlines_only_ ? lines_ : pieces_; }
  // Whether lines() are pieces() without white space around them: what is equal is `repeated`.
  bool lines_are_bare() const { return newlines_only_ && bare_; }
  // The first byte at or behind `at` that is white space (ASCII's six), or no ASCII letter.
  uint32_t next_space(uint32_t at) const { return next_bit(bits_.spaces, at); }
  uint32_t next_no_letter(uint32_t at) const { return next_bit(bits_.not_letters, at); }
  // f(p) for every character that is not ASCII.
  template <class F>
  void each_wide(const F& f) const {
    bits_.each_wide(buffer_.data(), size_, f);
  }
  // Code points of a piece of the text.
  int64_t chars_of(std::string_view piece) const;

 private:
  static constexpr size_t kWordsBehind = 8;  // that may be read

  // The first bit that is set at or behind `from`; there is one. Where it lies is nothing to
  // foretell, and most lie within one load.
  static uint32_t next_bit(const std::vector<uint64_t>& bits, uint32_t from) {
    const uint64_t near = TextBits::bits_from(bits, from);
    if (near != 0) return from + static_cast<uint32_t>(std::countr_zero(near));
    size_t word = from / 64;
    uint64_t left = bits[word] & (~uint64_t{0} << (from % 64));
    while (left == 0) left = bits[++word];
    return static_cast<uint32_t>(word * 64 + static_cast<size_t>(std::countr_zero(left)));
  }

  void split_words();
  void split_lines();
  void split_pieces();
  void split_other_lines();
  void add_line(size_t begin, size_t end);
  void count_in_lines();
  void find_repeated_lines();
  void add_chunk(uint32_t begin, uint32_t end);
  bool keeps_stop(uint32_t begin, uint32_t end, uint64_t hash) const;
  void add_rare_word(uint32_t begin, uint32_t end, bool marked);
  bool add_stopped_word(uint32_t begin, uint32_t end);
  void add_wide_chunk(uint32_t begin, uint32_t end);
  void cut_chunk(uint32_t begin, uint32_t end);
  void cut_inside(uint32_t begin, uint32_t end);
  bool is_special(uint32_t begin, uint32_t end) const;
  bool add_special(uint32_t begin, uint32_t end);
  void add_word(uint32_t begin, uint32_t end);
  void add_plain_word(uint32_t begin, uint32_t end);
  void make_room_for_chunks(size_t chunks);
  // The place behind the last word, to be filled before it is counted.
  Word& free_word() {
    if (num_words_ + kWordsBehind >= words_.size()) words_.resize(2 * num_words_ + 1024);
    return words_[num_words_];
  }

  const SpecialWords& specials_ = special_words();
  std::string buffer_;  // the text and room behind it for whole loads
  TextBits bits_;
  size_t size_ = 0;
  std::vector<Word> words_;  // the first num_words_ of them
  size_t num_words_ = 0;
  std::vector<uint32_t> words_before_;  // each chunk between white space, and all
  std::vector<TextLine> lines_, pieces_;
  std::vector<TextStretch> stretches_;
  bool newlines_only_ = true, bare_ = true;
  NgramTable seen_lines_;
  std::vector<std::pair<uint32_t, uint32_t>> behind_;  // marks cut off from the end of a chunk
};

int64_t count_chars(std::string_view text);

}  // namespace lathe

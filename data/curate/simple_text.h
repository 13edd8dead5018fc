#pragma once

#include <cstdint>
#include <span>
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
  // Of a text that is cut already, which is most of the work.
  void make(const SplitText& split);

  std::string_view text() const { return {buffer_.data(), size_}; }  // words with one blank between
  size_t num_words() const { return num_pieces_; }
  std::string_view word(size_t i) const { return piece(i, 1); }
  // Words i to i + count - 1 with the blanks between them.
  std::string_view piece(size_t i, size_t count) const {
    return {buffer_.data() + pieces_[i].begin, pieces_[i + count - 1].end - pieces_[i].begin};
  }
  std::span<const uint64_t> hashes() const {
    return {hashes_.data(), num_pieces_};
  }  // of the words
  // Bytes of the original text: where word i begins and ends.
  uint32_t source_begin(size_t i) const { return pieces_[i].source_begin; }
  uint32_t source_end(size_t i) const { return pieces_[i].source_end; }

 private:
  struct Piece {
    uint32_t begin, end, source_begin, source_end;
  };
  void start(const SplitText& split);
  void make_room(size_t source_left);
  void make_room_for_pieces();
  void add_simple_word(const char* source, const Word& word);
  void set_piece(size_t begin, uint32_t source_begin, uint32_t source_end, uint64_t hash);
  void add_range(const SplitText& split, uint32_t from, uint32_t to);
  void finish_chunk(size_t begin, bool plain, uint32_t source_begin, uint32_t source_end);
  void cut_chunk(size_t begin, uint32_t source_begin, uint32_t source_end);
  void copy_letters(const char* from, size_t count);
  bool is_cut(uint64_t hash) const;
  void add_piece(size_t begin, uint32_t source_begin, uint32_t source_end, uint64_t hash);
  bool add_wide(uint32_t code_point, bool& plain);

  std::string buffer_;
  size_t size_ = 0;
  size_t num_pieces_ = 0;
  std::vector<Piece> pieces_;  // the first num_pieces_ of them, as of the hashes
  std::vector<uint64_t> hashes_;
  size_t source_size_ = 0, num_source_words_ = 0;
  const SpecialWords& specials_ = special_words();
  SplitText whole_, cutter_;
  std::string chunk_;
};

}  // namespace lathe

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenize/spec.h"
#include "data/tokenize/vocabulary.h"

// Ids -> text. The decoder steps of a tokenizer.json, worked out for every token at load: what a
// token says in the middle of a text and as its first, and which bytes it stands for when it is a
// byte. What depends on neighbours (bytes that make a character together, the space at the very
// start) is left to Decoding.
namespace lathe {

class Decoder {
 public:
  Decoder(const TokenizerSpec& spec, const Vocabulary& vocabulary);

  struct Piece {
    std::string_view text, first_text;
    bool is_byte = false;  // of a run of <0xXX> tokens
  };
  Piece piece(int32_t id) const;  // an id without a token says nothing

  bool bytes_make_text() const { return byte_level_; }
  bool join_with_spaces() const { return join_with_spaces_; }
  std::string_view stripped() const { return stripped_; }
  int64_t strip_count() const { return strip_count_; }

 private:
  struct Entry {
    uint32_t text = 0, first_text = 0;  // where in texts_
    uint32_t size = 0, first_size = 0;
    bool is_byte = false;
  };
  bool byte_level_ = false, join_with_spaces_ = false;
  std::string stripped_;     // dropped at the very start of the text,
  int64_t strip_count_ = 0;  // so many times at most
  std::vector<Entry> entries_;
  std::string texts_;
};

// One text in the making. Bytes come out when they make whole characters; what can not be decided
// yet is held back.
class Decoding {
 public:
  explicit Decoding(const Decoder& decoder)
      : decoder_(decoder), left_to_strip_(decoder.strip_count()) {}
  void push(int32_t id, std::string& out);
  void finish(std::string& out);

 private:
  void end_bytes(std::string& out);
  void say(std::string_view text, std::string& out);

  const Decoder& decoder_;
  int64_t left_to_strip_;
  bool first_ = true;
  std::string bytes_;  // not yet decided
};

}  // namespace lathe

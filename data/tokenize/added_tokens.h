#pragma once

#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "data/tokenize/spec.h"

// Finds added tokens in a text: leftmost, then longest, with the flags single_word, lstrip and
// rstrip as the reference applies them.
namespace lathe {

class AddedTokens {
 public:
  // patterns[i] is what stands in the text for tokens[i] (its content, normalized where the token
  // is).
  AddedTokens(const std::vector<AddedToken>& tokens, const std::vector<std::string>& patterns);

  bool empty() const { return tokens_.empty(); }

  // Whether any of them stands in the text, flags apart.
  bool any_in(std::string_view text) const;

  // Calls piece(begin, end, id) for the whole text from left to right; id -1: plain text.
  void split(std::string_view text,
             const std::function<void(size_t, size_t, int32_t)>& piece) const;

 private:
  struct Node {
    int32_t first_child = -1, next_sibling = -1;
    int32_t token = -1;  // whose pattern ends here
    unsigned char byte = 0;
  };
  struct Match {
    size_t length = 0;
    int32_t token = -1;
  };
  void insert(std::string_view pattern, int32_t token);
  int32_t child(int32_t node, unsigned char byte) const;
  Match longest_at(std::string_view text, size_t at) const;
  size_t next_candidate(std::string_view text, size_t from) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<int32_t, 256> roots_;  // the node of each first byte, -1: none
  int only_first_byte_ = -1;        // when all patterns begin with the same byte
};

}  // namespace lathe

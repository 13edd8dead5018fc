#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/jinja/error.h"

// A template's source as tokens. White space is already handled: trim_blocks and lstrip_blocks are
// on, as in Hugging Face's environment, `-` and `+` beside a delimiter change it, and one newline
// at the end of the source is dropped.
namespace lathe::jinja {

struct Token {
  enum class Kind {
    Data,
    BeginOutput,
    EndOutput,
    BeginBlock,
    EndBlock,
    Name,
    Text,
    Integer,
    Float,
    Sign,
    End
  };
  Kind kind = Kind::End;
  std::string text;  // Data and Text: the content; the others: as written
  Position at;
  bool is(Kind wanted, std::string_view wanted_text) const {
    return kind == wanted && text == wanted_text;
  }
};

// where: for messages. The last token is End. Throws Error.
std::vector<Token> read_tokens(std::string_view source, const std::string& where);

}  // namespace lathe::jinja

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"

// Tokens and their mask for people's eyes.
namespace lathe {

// What each id adds to the text; a character of several tokens stands at its last one.
std::vector<std::string> token_texts(const Tokenizer& tokenizer, std::span<const int64_t> ids);

// The text with what is trained between open and close, line ends as \n, cut behind `most` tokens.
std::string marked_text(const Tokenizer& tokenizer, std::span<const int64_t> ids,
                        std::span<const uint8_t> mask, const std::string& open,
                        const std::string& close, size_t most);

}  // namespace lathe

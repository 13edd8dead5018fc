#pragma once

#include <cstddef>
#include <string_view>

// Where a piece of text without white space is cut: the punctuation rules of spaCy's English.
namespace lathe {

// Bytes to cut off from the front or the back; 0: none.
size_t prefix_size(std::string_view text);
size_t suffix_size(std::string_view text);

// The next cut inside at or behind `from`: between letters, digits and quotes. size 0: none.
struct Infix {
  size_t begin = 0, size = 0;
};
Infix find_infix(std::string_view text, size_t from);

// An address of the web or of mail, which is never cut inside.
bool is_address(std::string_view text);

}  // namespace lathe

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Python's string functions on UTF-8. Positions and lengths of characters count code points; a byte
// that is not part of valid UTF-8 counts as one character.
namespace lathe::jinja {

std::vector<std::string_view> characters(std::string_view text);
size_t count_characters(std::string_view text);
size_t character_bytes(std::string_view text,
                       size_t at);                // of the character that begins at byte `at`
char32_t code_point(std::string_view character);  // U+FFFD for an invalid byte
void append_utf8(std::string& text, char32_t code_point);

bool is_space(char32_t code_point);
bool is_printable(char32_t code_point);
bool is_letter(char32_t code_point);
bool is_digit(char32_t code_point);
bool is_upper(char32_t code_point);
bool is_lower(char32_t code_point);

// chars absent: white space.
enum class Side { Both, Left, Right };
std::string_view strip(std::string_view text, Side side,
                       std::optional<std::string_view> chars = {});

// separator absent: runs of white space. limit: the most cuts, negative for any number. Throws
// Fault for an empty separator.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit);
std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator,
                                               int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// Byte position of needle at or after `from`, or npos. Linear whatever the needle.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);
size_t find_last_text(std::string_view text, std::string_view needle);

// One code point to one: what lower() does, and upper() except for the few letters that become two.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);        // str.title()
std::string title_words(std::string_view text);  // the filter `title`, which leaves "it's" alone

}  // namespace lathe::jinja

#include "data/jinja/string_literal.h"

#include "data/jinja/error.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

constexpr std::string_view kSimple = "\\'\"abfnrtv";
constexpr std::string_view kMeant = "\\'\"\a\b\f\n\r\t\v";

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

char32_t read_digits(std::string_view literal, size_t& at, size_t least, size_t most, int base) {
  char32_t value = 0;
  size_t count = 0;
  for (; count < most && at < literal.size() && digit_value(literal[at]) < base; ++count, ++at) {
    value = value * static_cast<char32_t>(base) + static_cast<char32_t>(digit_value(literal[at]));
  }
  if (count < least) throw Fault("an escape in a string has too few digits");
  return value;
}

void append_checked(std::string& text, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
    throw Fault("an escape in a string is not a character of Unicode");
  }
  append_utf8(text, c);
}

// at: behind the backslash.
void append_escape(std::string& text, std::string_view literal, size_t& at) {
  const char c = literal[at];
  if (const size_t simple = kSimple.find(c); simple != std::string_view::npos) {
    text += kMeant[simple];
    ++at;
  } else if (c == 'x') {
    append_checked(text, read_digits(literal, ++at, 2, 2, 16));
  } else if (c == 'u') {
    append_checked(text, read_digits(literal, ++at, 4, 4, 16));
  } else if (c == 'U') {
    append_checked(text, read_digits(literal, ++at, 8, 8, 16));
  } else if (c >= '0' && c <= '7') {
    append_checked(text, read_digits(literal, at, 1, 3, 8));
  } else if (c == '\n') {
    ++at;
  } else if (c == 'N') {
    throw Fault("\\N{...} in a string is not supported; use \\u with the number");
  } else {
    text += '\\';
  }
}

}  // namespace

std::string unescape(std::string_view literal) {
  std::string text;
  for (size_t at = 0; at < literal.size();) {
    if (literal[at] != '\\' || at + 1 == literal.size()) {
      text += literal[at++];
      continue;
    }
    append_escape(text, literal, ++at);
  }
  return text;
}

}  // namespace lathe::jinja

#include "data/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "data/jinja/error.h"

namespace lathe::jinja {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// White space as str.isspace() sees it, below U+0100.
bool is_latin_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0;
}

bool stripped(std::string_view character, std::optional<std::string_view> chars) {
  if (!chars) return is_space(code_point(character));
  return find_text(*chars, character) != std::string_view::npos;
}

// The byte at which the last character of text begins.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  for (size_t back = 1; back < 4 && at > 0 && is_continuation(text[at]); ++back) --at;
  if (at + character_bytes(text, at) != text.size()) return text.size() - 1;
  return at;
}

template <class Map>
std::string map_characters(std::string_view text, Map map) {
  std::string mapped;
  mapped.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    const std::string_view character = text.substr(at, bytes);
    const char32_t before = code_point(character);
    const char32_t after = map(before);
    if (after == before) {
      mapped += character;
    } else {
      append_utf8(mapped, after);
    }
    at += bytes;
  }
  return mapped;
}

char32_t lower_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(c)));
}
char32_t upper_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<int32_t>(c)));
}
char32_t title_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<int32_t>(c)));
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<int32_t>(c)); }

}  // namespace

size_t character_bytes(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  size_t bytes = 1;
  if (lead >= 0xC2 && lead < 0xE0) bytes = 2;
  if (lead >= 0xE0 && lead < 0xF0) bytes = 3;
  if (lead >= 0xF0 && lead < 0xF5) bytes = 4;
  if (at + bytes > text.size()) return 1;
  for (size_t i = 1; i < bytes; ++i) {
    if (!is_continuation(text[at + i])) return 1;
  }
  return bytes;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    all.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return all;
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += character_bytes(text, at)) ++count;
  return count;
}

char32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(character[i]));
  };
  switch (character.size()) {
    case 1:
      return byte(0) < 0x80 ? byte(0) : 0xFFFD;
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    case 4:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
    default:
      return 0xFFFD;
  }
}

void append_utf8(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool is_space(char32_t c) {
  if (c < 0x100) return is_latin_space(c);
  return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_letter(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  // Each character is looked up in chars: a long one would make this quadratic.
  if (chars && chars->size() > 1024) throw Fault("more than 1024 bytes of characters to strip");
  while (side != Side::Right && !text.empty()) {
    const size_t bytes = character_bytes(text, 0);
    if (!stripped(text.substr(0, bytes), chars)) break;
    text.remove_prefix(bytes);
  }
  while (side != Side::Left && !text.empty()) {
    const size_t at = last_character(text);
    if (!stripped(text.substr(at), chars)) break;
    text = text.substr(0, at);
  }
  return text;
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  // memmem is linear (two-way search); string_view::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

// Searched backwards in the mirrored text, so that it stays linear.
size_t find_last_text(std::string_view text, std::string_view needle) {
  const std::string mirrored(text.rbegin(), text.rend());
  const size_t found = find_text(mirrored, std::string(needle.rbegin(), needle.rend()));
  return found == std::string_view::npos ? found : text.size() - found - needle.size();
}

namespace {

std::vector<std::string_view> split_at_spaces(std::string_view text, int64_t limit) {
  std::vector<std::string_view> parts;
  text = strip(text, Side::Left);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(strip(text, Side::Right));
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      const size_t bytes = character_bytes(text, end);
      if (is_space(code_point(text.substr(end, bytes)))) break;
      end += bytes;
    }
    parts.push_back(text.substr(0, end));
    text = strip(text.substr(end), Side::Left);
  }
  return parts;
}

std::vector<std::string_view> split_at_spaces_from_right(std::string_view text, int64_t limit) {
  std::vector<std::string_view> parts;
  text = strip(text, Side::Right);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(strip(text, Side::Left));
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t at = last_character(text.substr(0, begin));
      if (is_space(code_point(text.substr(at, begin - at)))) break;
      begin = at;
    }
    parts.push_back(text.substr(begin));
    text = strip(text.substr(0, begin), Side::Right);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit) {
  if (!separator) return split_at_spaces(text, limit);
  if (separator->empty()) throw Fault("empty separator");
  std::vector<std::string_view> parts;
  size_t from = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = find_text(text, *separator, from);
    if (found == std::string_view::npos) break;
    parts.push_back(text.substr(from, found - from));
    from = found + separator->size();
  }
  parts.push_back(text.substr(from));
  return parts;
}

std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator,
                                               int64_t limit) {
  if (!separator) return split_at_spaces_from_right(text, limit);
  const std::string mirrored(text.rbegin(), text.rend());  // as in find_last_text
  const std::string mirrored_separator(separator->rbegin(), separator->rend());
  std::vector<std::string_view> parts = split(mirrored, mirrored_separator, limit);
  std::reverse(parts.begin(), parts.end());
  for (std::string_view& part : parts) {
    const size_t end = text.size() - static_cast<size_t>(part.data() - mirrored.data());
    part = text.substr(end - part.size(), part.size());
  }
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    size_t bytes = character_bytes(text, at);
    const char32_t c = code_point(text.substr(at, bytes));
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    if (c == '\r' && at + 1 < text.size() && text[at + 1] == '\n') bytes = 2;
    if (ends) {
      lines.push_back(text.substr(begin, (keep_ends ? at + bytes : at) - begin));
      begin = at + bytes;
    }
    at += bytes;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string to_lower(std::string_view text) { return map_characters(text, lower_of); }

std::string to_upper(std::string_view text) {
  std::string upper;
  size_t from = 0;
  // Sharp s is the one common letter that becomes two.
  for (size_t at = find_text(text, "ß"); at != std::string_view::npos;
       at = find_text(text, "ß", from)) {
    upper += map_characters(text.substr(from, at - from), upper_of) + "SS";
    from = at + 2;
  }
  return upper + map_characters(text.substr(from), upper_of);
}

std::string capitalize(std::string_view text) {
  bool first = true;
  return map_characters(text, [&](char32_t c) {
    const char32_t mapped = first ? title_of(c) : lower_of(c);
    first = false;
    return mapped;
  });
}

std::string title(std::string_view text) {
  bool inside = false;
  return map_characters(text, [&](char32_t c) {
    const char32_t mapped = inside ? lower_of(c) : title_of(c);
    inside = is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT;
    return mapped;
  });
}

std::string title_words(std::string_view text) {
  bool first = true;
  return map_characters(text, [&](char32_t c) {
    const bool between = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    const char32_t mapped = first ? upper_of(c) : lower_of(c);
    first = between;
    return mapped;
  });
}

}  // namespace lathe::jinja

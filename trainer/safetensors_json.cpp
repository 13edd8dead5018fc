#include "trainer/safetensors_json.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace lathe {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The length of the UTF-8 sequence at the start of `text`, 0 if it is none (overlong, surrogate,
// beyond U+10FFFF, cut).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// How much of the start of `text` stands for itself.
size_t plain_length(std::string_view text) {
  const auto plain = [](char c) { return c >= 0x20 && c < 0x7f && c != '\\'; };
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), plain) - text.begin());
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)),
        put(0x80 | (code & 0x3f));
  }
}

}  // namespace

void StrictJson::fail(const std::string& reason) const {
  std::string message = where_ + ": safetensors header: ";
  if (!subject_.empty()) message += subject_ + ": ";
  throw std::invalid_argument(message + reason + " (byte " + std::to_string(position_) +
                              " of the header)");
}

void StrictJson::skip_space() {
  while (at(' ') || at('\n') || at('\t') || at('\r')) ++position_;
}

bool StrictJson::take(char c) {
  if (!at(c)) return false;
  ++position_;
  return true;
}

void StrictJson::expect(char c) {
  if (!take(c)) fail(std::string("bad JSON, expected '") + c + "'");
}

void StrictJson::object(const std::function<void(std::string)>& member) {
  expect('{');
  skip_space();
  if (take('}')) return skip_space();
  do {
    skip_space();
    std::string key = string();
    skip_space();
    expect(':');
    skip_space();
    member(std::move(key));
    skip_space();
  } while (take(','));
  expect('}');
  skip_space();
}

void StrictJson::array(const std::function<void()>& element) {
  expect('[');
  skip_space();
  if (take(']')) return skip_space();
  do {
    skip_space();
    element();
    skip_space();
  } while (take(','));
  expect(']');
  skip_space();
}

std::string StrictJson::string() {
  expect('"');
  // Escapes only shrink: the text up to the first bare quote bounds what is needed, and no growth
  // doubles it.
  size_t close = position_;
  while (close < text_.size() && text_[close] != '"') close += text_[close] == '\\' ? 2 : 1;
  if (close >= text_.size()) fail("bad JSON, a string does not end");
  std::string out;
  out.reserve(close - position_);
  while (position_ < close) {
    const size_t run = plain_length(text_.substr(position_, close - position_));
    out.append(text_, position_, run);
    position_ += run;
    if (position_ == close) break;
    if (take('\\')) {
      escape(out);
      continue;
    }
    if (static_cast<unsigned char>(text_[position_]) < 0x20) {
      fail("bad JSON, a control character in a string");
    }
    const size_t length = utf8_length(text_.substr(position_));
    if (length == 0) fail("bad UTF-8 in a string");
    out.append(text_, position_, length);
    position_ += length;
  }
  expect('"');
  return out;
}

void StrictJson::escape(std::string& out) {
  static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  const char c = text_[position_++];
  if (const size_t i = kNames.find(c); i != std::string_view::npos) {
    out.push_back(kValues[i]);
    return;
  }
  if (c != 'u') fail("bad JSON, an unknown escape in a string");
  uint32_t code = hex4();
  if (code >= 0xdc00 && code <= 0xdfff) fail("bad JSON, a lone surrogate in a string");
  if (code >= 0xd800 && code <= 0xdbff) {
    if (!take('\\') || !take('u')) fail("bad JSON, a lone surrogate in a string");
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("bad JSON, a lone surrogate in a string");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(out, code);
}

uint32_t StrictJson::hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = position_ < text_.size() ? text_[position_++] : ' ';
    const char lower = static_cast<char>(c | 0x20);
    if (is_digit(c)) {
      code = code << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      code = code << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      fail("bad JSON, a \\u escape without four hex digits");
    }
  }
  return code;
}

uint64_t StrictJson::unsigned_integer() {
  if (at('-')) fail("a negative number where an unsigned integer is expected");
  if (at('[') || at('{')) fail("nested deeper than the format allows");
  if (position_ >= text_.size() || !is_digit(text_[position_]))
    fail("bad JSON, expected an unsigned integer");
  const bool leading_zero = at('0');
  const size_t begin = position_;
  uint64_t value = 0;
  while (position_ < text_.size() && is_digit(text_[position_])) {
    const auto digit = static_cast<uint64_t>(text_[position_++] - '0');
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      fail("a number beyond 2^64 - 1");
    }
  }
  if (leading_zero && position_ - begin > 1) fail("bad JSON, a number with a leading zero");
  if (at('.') || at('e') || at('E'))
    fail("a fraction or exponent where an unsigned integer is expected");
  return value;
}

void StrictJson::end() {
  skip_space();
  if (position_ != text_.size()) fail("bytes after the JSON");
}

std::string json_quoted(std::string_view text, size_t limit) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out += std::string("\\u00") + kHex[byte >> 4] + kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > limit ? "...\"" : "\"");
}

}  // namespace lathe

#include "data/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "data/jinja/string_literal.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

std::string normalise_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
}
bool is_name_part(char c) { return is_name_start(c) || is_digit_byte(c); }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where)
      : text_(normalise_newlines(source)), where_(where) {}
  std::vector<Token> read();

 private:
  struct Opening {
    size_t at = kNone;
    char kind = 0;  // '{', '%', '#', or 'r' for raw
    char sign = 0;
    size_t body = 0;  // where what follows the delimiter begins
  };
  Opening next_opening() const;
  bool raw_begins(size_t at, Opening& opening) const;
  void read_data(const Opening& opening);
  void read_comment(const Opening& opening);
  void read_raw(const Opening& opening);
  void read_tag(const Opening& opening);
  void read_tag_token();
  bool tag_ends(bool block);
  void read_number();
  void read_string();
  void read_sign();
  size_t skip_spaces(size_t at) const;
  void add_data(std::string_view text, size_t at);
  void add(Token::Kind kind, std::string text, size_t at);
  Position position(size_t at);
  [[noreturn]] void fail(size_t at, const std::string& message);
  std::string_view strip_before(std::string_view data, const Opening& opening) const;

  std::string text_;
  std::string where_;
  std::vector<Token> tokens_;
  std::string brackets_;  // closing ones that are awaited
  size_t at_ = 0;
  bool line_starting_ = true;
  // The place that was asked for last: places are asked for in rising order.
  size_t counted_ = 0;
  Position counted_position_;
};

Position Lexer::position(size_t at) {
  for (; counted_ < at && counted_ < text_.size(); ++counted_) {
    if (text_[counted_] == '\n') {
      ++counted_position_.line;
      counted_position_.column = 1;
    } else if ((text_[counted_] & 0xC0) != 0x80) {
      ++counted_position_.column;
    }
  }
  return counted_position_;
}

void Lexer::fail(size_t at, const std::string& message) {
  throw Error(where_, position(at), message);
}

void Lexer::add(Token::Kind kind, std::string text, size_t at) {
  tokens_.push_back({kind, std::move(text), position(at)});
}

void Lexer::add_data(std::string_view text, size_t at) {
  if (!text.empty()) add(Token::Kind::Data, std::string(text), at);
}

size_t Lexer::skip_spaces(size_t at) const {
  return text_.size() - strip(std::string_view(text_).substr(at), Side::Left).size();
}

// {% raw %}, with a sign or spaces: what follows it is data until {% endraw %}.
bool Lexer::raw_begins(size_t at, Opening& opening) const {
  size_t name = skip_spaces(at);
  if (text_.compare(name, 3, "raw") != 0) return false;
  size_t end = skip_spaces(name + 3);
  const bool strip_after = end < text_.size() && text_[end] == '-';
  if (strip_after) ++end;
  if (text_.compare(end, 2, "%}") != 0) return false;
  opening.kind = 'r';
  opening.body = strip_after ? skip_spaces(end + 2) : end + 2;
  return true;
}

Lexer::Opening Lexer::next_opening() const {
  for (size_t at = text_.find('{', at_); at != kNone; at = text_.find('{', at + 1)) {
    if (at + 1 >= text_.size()) break;
    Opening opening{at, text_[at + 1], 0, at + 2};
    if (opening.kind != '{' && opening.kind != '%' && opening.kind != '#') continue;
    if (opening.body < text_.size() && (text_[opening.body] == '-' || text_[opening.body] == '+')) {
      opening.sign = text_[opening.body++];
    }
    if (opening.kind == '%') raw_begins(opening.body, opening);
    return opening;
  }
  return {};
}

std::string_view Lexer::strip_before(std::string_view data, const Opening& opening) const {
  if (opening.sign == '-') return strip(data, Side::Right);
  if (opening.sign == '+' || opening.kind == '{') return data;
  const size_t newline = data.rfind('\n');
  if (newline == kNone && !line_starting_) return data;
  const size_t line = newline == kNone ? 0 : newline + 1;
  return strip(data.substr(line), Side::Left).empty() ? data.substr(0, line) : data;
}

void Lexer::read_data(const Opening& opening) {
  const std::string_view data = std::string_view(text_).substr(at_, opening.at - at_);
  add_data(strip_before(data, opening), at_);
  line_starting_ = false;
}

void Lexer::read_comment(const Opening& opening) {
  const size_t close = text_.find("#}", opening.body);
  if (close == kNone) fail(opening.at, "a comment {# is never closed by #}");
  const char sign = close > opening.body ? text_[close - 1] : '\0';
  at_ = close + 2;
  if (sign == '-') {
    at_ = skip_spaces(at_);
  } else if (sign != '+' && at_ < text_.size() && text_[at_] == '\n') {
    ++at_;
  }
  line_starting_ = text_[at_ - 1] == '\n';
}

void Lexer::read_raw(const Opening& opening) {
  for (size_t at = text_.find("{%", opening.body); at != kNone; at = text_.find("{%", at + 2)) {
    Opening closing{at, '%', 0, at + 2};
    if (closing.body < text_.size() && (text_[closing.body] == '-' || text_[closing.body] == '+')) {
      closing.sign = text_[closing.body++];
    }
    const size_t name = skip_spaces(closing.body);
    if (text_.compare(name, 6, "endraw") != 0) continue;
    at_ = skip_spaces(name + 6);
    brackets_.clear();
    const std::string_view data = std::string_view(text_).substr(opening.body, at - opening.body);
    line_starting_ = text_[opening.body - 1] == '\n';
    if (!tag_ends(true)) continue;
    tokens_.pop_back();
    const bool after_newline = text_[at_ - 1] == '\n';
    add_data(strip_before(data, closing), opening.body);
    line_starting_ = after_newline;
    return;
  }
  fail(opening.at, "a raw block is never closed by {% endraw %}");
}

// At the end of a tag: consumes it, its signs and the white space that goes with it.
bool Lexer::tag_ends(bool block) {
  const std::string_view close = block ? "%}" : "}}";
  size_t at = at_;
  const char sign = text_[at];
  if (sign == '-' || (sign == '+' && block)) ++at;
  if (text_.compare(at, 2, close) != 0) return false;
  const size_t begin = at_;
  at_ = at + 2;
  if (sign == '-') {
    at_ = skip_spaces(at_);
  } else if (block && sign != '+' && at_ < text_.size() && text_[at_] == '\n') {
    ++at_;
  }
  add(block ? Token::Kind::EndBlock : Token::Kind::EndOutput, std::string(close), begin);
  line_starting_ = text_[at_ - 1] == '\n';
  return true;
}

void Lexer::read_number() {
  const size_t begin = at_;
  const auto digits = [&](size_t at) {
    while (at < text_.size() &&
           (is_digit_byte(text_[at]) ||
            (text_[at] == '_' && at + 1 < text_.size() && is_digit_byte(text_[at + 1])))) {
      ++at;
    }
    return at;
  };
  const char mark = begin + 1 < text_.size() && text_[begin] == '0'
                        ? static_cast<char>(text_[begin + 1] | 0x20)
                        : 0;
  if (mark == 'x' || mark == 'o' || mark == 'b') {
    for (at_ += 2; at_ < text_.size() && std::isxdigit(static_cast<unsigned char>(text_[at_]));)
      ++at_;
    return add(Token::Kind::Integer, text_.substr(begin, at_ - begin), begin);
  }
  at_ = digits(at_);
  bool fraction = false;
  // After a dot this is an element's number, as in x.0.1.
  if (begin == 0 || text_[begin - 1] != '.') {
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit_byte(text_[at_ + 1])) {
      at_ = digits(at_ + 1);
      fraction = true;
    }
    size_t exponent = at_ + 1;
    if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      if (exponent < text_.size() && is_digit_byte(text_[exponent])) {
        at_ = digits(exponent);
        fraction = true;
      }
    }
  }
  std::string number = text_.substr(begin, at_ - begin);
  number.erase(std::remove(number.begin(), number.end(), '_'), number.end());
  add(fraction ? Token::Kind::Float : Token::Kind::Integer, number, begin);
}

void Lexer::read_string() {
  const size_t begin = at_;
  const char quote = text_[at_++];
  while (at_ < text_.size() && text_[at_] != quote) at_ += text_[at_] == '\\' ? 2 : 1;
  if (at_ >= text_.size()) fail(begin, "a string is never closed");
  std::string content;
  try {
    content = unescape(std::string_view(text_).substr(begin + 1, at_ - begin - 1));
  } catch (const Fault& fault) {
    fail(begin, fault.what());
  }
  ++at_;
  add(Token::Kind::Text, std::move(content), begin);
}

void Lexer::read_sign() {
  static constexpr std::array<std::string_view, 6> kPairs{"//", "**", "==", "!=", ">=", "<="};
  const std::string_view rest = std::string_view(text_).substr(at_);
  const auto pair = std::find(kPairs.begin(), kPairs.end(), rest.substr(0, 2));
  const std::string sign(rest.substr(0, pair == kPairs.end() ? 1 : 2));
  if (sign.size() == 1 && std::string_view("+-/*%~[](){}><=.:|,;").find(sign[0]) == kNone) {
    fail(at_,
         "unexpected character '" + std::string(rest.substr(0, character_bytes(rest, 0))) + "'");
  }
  if (sign == "(" || sign == "[" || sign == "{")
    brackets_ += sign == "(" ? ')' : sign == "[" ? ']' : '}';
  if (sign == ")" || sign == "]" || sign == "}") {
    if (brackets_.empty()) fail(at_, "unexpected '" + sign + "'");
    if (brackets_.back() != sign[0]) {
      fail(at_, "unexpected '" + sign + "', expected '" + std::string(1, brackets_.back()) + "'");
    }
    brackets_.pop_back();
  }
  add(Token::Kind::Sign, sign, at_);
  at_ += sign.size();
}

void Lexer::read_tag_token() {
  const char c = text_[at_];
  if (is_digit_byte(c)) return read_number();
  if (c == '\'' || c == '"') return read_string();
  if (!is_name_start(c)) return read_sign();
  const size_t begin = at_;
  while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
  add(Token::Kind::Name, text_.substr(begin, at_ - begin), begin);
}

void Lexer::read_tag(const Opening& opening) {
  const bool block = opening.kind == '%';
  add(block ? Token::Kind::BeginBlock : Token::Kind::BeginOutput, block ? "{%" : "{{", opening.at);
  brackets_.clear();
  at_ = opening.body;
  while (true) {
    at_ = skip_spaces(at_);
    if (at_ >= text_.size())
      fail(opening.at, std::string("a tag ") + (block ? "{%" : "{{") + " is never closed");
    // Inside brackets the closing delimiter is two signs: {{ {'a': {}} }}.
    if (brackets_.empty() && tag_ends(block)) return;
    read_tag_token();
  }
}

std::vector<Token> Lexer::read() {
  for (Opening opening = next_opening(); opening.at != kNone; opening = next_opening()) {
    read_data(opening);
    if (opening.kind == '#') {
      read_comment(opening);
    } else if (opening.kind == 'r') {
      read_raw(opening);
    } else {
      read_tag(opening);
    }
  }
  add_data(std::string_view(text_).substr(at_), at_);
  add(Token::Kind::End, "end of template", text_.size());
  return std::move(tokens_);
}

}  // namespace

std::vector<Token> read_tokens(std::string_view source, const std::string& where) {
  return Lexer(source, where).read();
}

}  // namespace lathe::jinja

#include "data/curate/affixes.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "data/curate/characters.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

// Bytes of a set, by table: one look each.
struct ByteSet {
  std::array<bool, 256> holds{};
  constexpr explicit ByteSet(std::string_view bytes) {
    for (const char c : bytes) holds[static_cast<unsigned char>(c)] = true;
  }
};

constexpr ByteSet kPrefixes("%=,:;!?()[]{}<>_#*&'\"`$");
constexpr ByteSet kSuffixes(",:;!?()[]{}<>_#*&'\"`");
// A full stop is cut off behind these (and digits and small letters).
constexpr ByteSet kBeforeStop("%-+,:;!?()[]{}<>_#*&|'\"`.");
constexpr ByteSet kInfixes(".,-~+*^:<>=/"), kBetweenLetters(":<>=/"), kQuotes("'\"`"),
    kBetweenDigits("+-*^");
constexpr std::string_view kUnits[] = {
    "km", "m",  "dm", "cm",  "mm",   "ha",  "nm",  "yd",  "in", "ft",   "kg", "g",  "mg",
    "t",  "lb", "oz", "m/s", "km/h", "kmh", "mph", "hPa", "Pa", "mbar", "mb", "MB", "kb",
    "KB", "gb", "GB", "tb",  "TB",   "T",   "G",   "M",   "K",  "%",    "$"};

bool has(const ByteSet& set, char c) { return set.holds[static_cast<unsigned char>(c)]; }

uint32_t first_of(std::string_view text, size_t& size) {
  const char* p = text.data();
  const uint32_t c = next_code_point(p);
  size = static_cast<size_t>(p - text.data());
  return c;
}

uint32_t last_of(std::string_view text, size_t& size) {
  const char* p = text.data() + text.size();
  const uint32_t c = previous_code_point(p);
  size = static_cast<size_t>(text.data() + text.size() - p);
  return c;
}

bool is_digit(char c) { return byte_bits(c) & kDigitBit; }

size_t unit_size(std::string_view text) {
  size_t digits = text.size();
  // A unit is at most four bytes; the digit before it is looked for from the back.
  for (size_t back = 1; back <= 4 && back < text.size(); ++back) {
    if (is_digit(text[text.size() - back - 1])) {
      digits = text.size() - back;
      const std::string_view unit = text.substr(digits);
      if (std::find(std::begin(kUnits), std::end(kUnits), unit) != std::end(kUnits)) return back;
    }
  }
  return 0;
}

bool stop_is_suffix(std::string_view text) {
  const std::string_view before = text.substr(0, text.size() - 1);
  if (before.empty()) return false;
  size_t size = 0;
  const uint32_t c = last_of(before, size);
  const uint8_t bits = character_bits_of(c);
  if (c < 128 && has(kBeforeStop, static_cast<char>(c))) return true;
  if (bits & kDigitBit) return true;
  if ((bits & kLetterBit) && !(bits & kUpperBit)) return true;
  if (c == 0xB2 || (c >= 128 && is_affix(c, true) && !is_icon(c))) return true;
  if (!(bits & kUpperBit)) return false;
  const std::string_view further = before.substr(0, before.size() - size);
  return !further.empty() && (character_bits_of(last_of(further, size)) & kUpperBit);
}

}  // namespace

size_t prefix_size(std::string_view text) {
  const char c = text[0];
  if (has(kPrefixes, c)) return 1;
  if (c == '+') return text.size() > 1 && is_digit(text[1]) ? 0 : 1;
  if (c == '.') {
    const size_t dots = std::min(text.find_first_not_of('.'), text.size());
    return dots >= 2 ? dots : 0;
  }
  if ((c == 'U' && text.starts_with("US$")) || ((c == 'C' || c == 'A') && text.substr(1, 1) == "$"))
    return c == 'U' ? 3 : 2;
  if (!(byte_bits(c) & kHighBit)) return 0;
  size_t size = 0;
  const uint32_t wide = first_of(text, size);
  return is_affix(wide, false) ? size : 0;
}

size_t suffix_size(std::string_view text) {
  const char c = text.back();
  if (c == '.') {
    const size_t kept = text.find_last_not_of('.');
    const size_t dots = text.size() - (kept == text.npos ? 0 : kept + 1);
    if (dots >= 2) return dots;
    return stop_is_suffix(text) ? 1 : 0;
  }
  if (c == 's' || c == 'S') {
    if (text.size() >= 2 && text[text.size() - 2] == '\'') return 2;
    if (text.size() >= 4 && text[text.size() - 4] == '\xE2' &&
        text.substr(text.size() - 4, 3) == "\xE2\x80\x99")
      return 4;
  }
  if (has(kSuffixes, c)) return 1;
  if (const size_t unit = unit_size(text)) return unit;
  if (c == '+') return text.size() > 1 && is_digit(text[text.size() - 2]) ? 1 : 0;
  if (!(byte_bits(c) & kHighBit)) return 0;
  size_t size = 0;
  const uint32_t wide = last_of(text, size);
  if (is_affix(wide, true)) return size;
  return text.size() > size && is_digit(text[text.size() - size - 1]) && is_affix(wide, false)
             ? size
             : 0;
}

Infix find_infix(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size();) {
    const char c = text[i];
    const bool high = byte_bits(c) & kHighBit;
    if (!high && !has(kInfixes, c)) {
      ++i;
      continue;
    }
    size_t size = 1, unused = 0;
    const uint32_t code = high ? first_of(text.substr(i), size) : static_cast<uint32_t>(c);
    if (c == '.') {
      const size_t dots = std::min(text.find_first_not_of('.', i), text.size()) - i;
      if (dots >= 2) return {i, dots};
    }
    if (high && (code == 0x2026 || is_icon(code))) return {i, size};
    const bool dash = c == '-' || c == '~' || code == 0x2013 || code == 0x2014;
    if (c == '-') size = std::min({text.find_first_not_of('-', i), text.size(), i + 3}) - i;
    if (code == 0x2014 && text.substr(i + 3, 3) == text.substr(i, 3)) size = 6;
    if ((high && !dash) || i == 0 || i + size >= text.size()) {
      i += size;
      continue;
    }
    const uint8_t before = character_bits_of(last_of(text.substr(0, i), unused));
    const uint32_t next = first_of(text.substr(i + size), unused);
    const uint8_t after = character_bits_of(next);
    const bool letters = (before & kLetterBit) && (after & kLetterBit);
    const bool word_before = before & (kLetterBit | kDigitBit);
    bool cut = false;
    if (dash || has(kBetweenLetters, c)) cut = word_before && (after & kLetterBit);
    if (c == ',') cut = letters;
    if (c == '.') {
      const bool quote = has(kQuotes, text[i - 1]);
      const bool small = (before & kLetterBit) && !(before & kUpperBit);
      cut = (small || quote) && ((after & kUpperBit) || next == '\'' || next == '"' || next == '`');
    }
    if (!cut && has(kBetweenDigits, c) && (before & kDigitBit)) {
      const char follows = text[i + 1];
      if (is_digit(follows) || follows == '-') return {i, 1};
    }
    if (cut) return {i, size};
    i += size;
  }
  return {};
}

bool is_address(std::string_view text) {
  if (text.find('.') == text.npos) return false;
  const size_t scheme = text.find("://");
  if (scheme != text.npos && scheme >= 2) text.remove_prefix(scheme + 3);
  const size_t at = text.rfind('@');
  if (at != text.npos && at > 0) text.remove_prefix(at + 1);
  const size_t host_end = std::min(text.find_first_of("/?#:"), text.size());
  const std::string_view host = text.substr(0, host_end);
  if (text.substr(host_end).starts_with(':') &&
      (host_end + 1 >= text.size() || !is_digit(text[host_end + 1])))
    return false;
  const size_t dot = host.rfind('.');
  if (dot == host.npos || dot == 0 || host.size() - dot < 3) return false;
  for (const char c : host.substr(dot + 1)) {
    if (c < 'a' || c > 'z') return byte_bits(c) & kHighBit;
  }
  bool label_empty = true;
  for (const char c : host.substr(0, dot)) {
    const uint8_t bits = byte_bits(c);
    const bool part = (bits & (kLetterBit | kDigitBit | kHighBit)) || c == '-' || c == '_';
    if (!part && c != '.') return false;
    if (c == '.' && label_empty) return false;
    label_empty = c == '.';
  }
  return !label_empty;
}

}  // namespace lathe

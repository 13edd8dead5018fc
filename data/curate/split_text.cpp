#include "data/curate/split_text.h"

#include <algorithm>
#include <cstring>

#include "data/curate/affixes.h"
#include "data/curate/characters.h"
#include "data/curate/special_words.h"
#include "data/tokenize/character_bits.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

constexpr size_t kRoomBehind = 128;

// Of a word, by what all and what any of its characters are.
uint32_t bits_of(uint8_t all, uint8_t any, uint32_t chars) {
  uint32_t bits = 0;
  if (any & kLetterBit) bits |= kHasLetter;
  if (all & kSymbolBit) bits |= kAllSymbols;
  if (all & kMarkBit) bits |= kAllMarks;
  if (chars == 1 && (all & kTerminalBit)) bits |= kSentenceEnd;
  if (!(any & (kLetterBit | kDigitBit | kHighBit))) bits |= kBetween;
  return bits;
}

}  // namespace

int64_t count_chars(std::string_view text) {
  int64_t chars = 0;
  for (const char c : text) chars += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return chars;
}

int64_t SplitText::chars_of(std::string_view piece) const {
  return is_ascii() ? static_cast<int64_t>(piece.size()) : count_chars(piece);
}

void SplitText::split(std::string_view text) {
  size_ = text.size();
  buffer_.reserve(size_ + kRoomBehind);
  buffer_.assign(text);
  buffer_.append(kRoomBehind, '\0');
  count_bytes();
  words_.clear();
  lines_.clear();
  split_words();
  split_lines();
}

// Four tables, so that equal bytes in a row do not wait for each other.
void SplitText::count_bytes() {
  std::array<std::array<uint32_t, 256>, 4> tables{};
  size_t i = 0;
  for (; i + 8 <= size_; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, buffer_.data() + i, 8);
    for (size_t k = 0; k < 8; ++k) ++tables[k % 4][eight >> (8 * k) & 255];
  }
  for (; i < size_; ++i) ++tables[0][static_cast<unsigned char>(buffer_[i])];
  for (size_t b = 0; b < 256; ++b)
    bytes_[b] = tables[0][b] + tables[1][b] + tables[2][b] + tables[3][b];
  chars_ = static_cast<int64_t>(size_);
  for (size_t b = 0x80; b < 0xC0; ++b) chars_ -= bytes_[b];
}

void SplitText::find_bits() {
  static const FindByteBits find = find_byte_bits();
  const size_t count = size_ / 64 + 1;
  spaces_.resize(count + 1);
  not_spaces_.resize(count + 1);
  not_letters_.resize(count + 1);
  for (size_t w = 0; w < count; ++w) {
    const ByteBits bits = find(buffer_.data() + 64 * w);
    spaces_[w] = bits.spaces;
    not_spaces_[w] = ~bits.spaces;
    not_letters_[w] = ~bits.letters;
  }
  spaces_[size_ / 64] |= ~uint64_t{0} << (size_ % 64);
  spaces_[count] = not_spaces_[count] = not_letters_[count] = ~uint64_t{0};
}

inline void SplitText::add_plain_word(uint32_t begin, uint32_t end) {
  const uint32_t size = end - begin;
  const uint64_t hash = hash_word(buffer_.data() + begin, size);
  if (specials_.find_cut(hash)) {
    add_special(begin, end);
    return;
  }
  words_.push_back({begin, size, size, kHasLetter | kAlone, hash});
}

void SplitText::add_word(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  if (end - begin == 1) {  // ASCII
    words_.push_back({begin, 1, 1, bits_of(byte_bits(text[begin]), byte_bits(text[begin]), 1),
                      hash_word(text + begin, 1)});
    return;
  }
  Word word{begin, end - begin, 0, 0, hash_word(text + begin, end - begin)};
  uint8_t all = 0xFF, any = 0;
  for (const char *p = text + begin, *last = text + end; p < last;) {
    const uint8_t bits = character_bits_of(next_code_point(p));
    all &= bits;
    any |= bits;
    ++word.chars;
  }
  word.bits = bits_of(all, any, word.chars);
  words_.push_back(word);
}

void SplitText::split_words() {
  find_bits();
  words_.reserve(size_ / 4 + 16);
  const auto size = static_cast<uint32_t>(size_);
  for (uint32_t begin = next_bit(not_spaces_, 0); begin < size;) {
    uint32_t end = next_bit(not_letters_, begin);
    if (is_space(end)) {
      add_plain_word(begin, end);
    } else if (is_space(end + 1) && add_marked_word(begin, end + 1)) {
      ++end;
    } else {
      end = next_bit(spaces_, end);
      add_chunk(begin, end);
    }
    // One blank is nearly always all there is.
    begin = is_space(end + 1) ? next_bit(not_spaces_, end) : end + 1;
  }
}

// Letters and one mark behind them, which is most of what is no plain word.
bool SplitText::add_marked_word(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  const char mark = text[end - 1];
  if (end - begin < 2) return false;
  if (mark == '.') {
    const bool upper = byte_bits(text[end - 2]) & kUpperBit;
    if (upper && (end - begin < 3 || !(byte_bits(text[end - 3]) & kUpperBit))) return false;
    if (is_special(begin, end)) return false;
  } else if (mark != ',' && mark != ';' && mark != ':' && mark != '!' && mark != '?') {
    return false;
  }
  add_plain_word(begin, end - 1);
  add_word(end - 1, end);
  return true;
}

void SplitText::add_chunk(uint32_t begin, uint32_t end) {
  uint8_t seen = 0;
  for (uint32_t i = begin; i < end; ++i) seen |= byte_bits(buffer_[i]);
  if (seen & (kHighBit | kSpaceBit)) {
    add_wide_chunk(begin, end);
  } else {
    cut_chunk(begin, end);
  }
}

// White space cuts that is none of ASCII's six.
void SplitText::add_wide_chunk(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  uint32_t start = begin;
  for (uint32_t i = begin; i < end;) {
    if (!(byte_bits(text[i]) & (kHighBit | kSpaceBit))) {
      ++i;
      continue;
    }
    const char* p = text + i;
    const uint32_t c = next_code_point(p);
    const auto next = static_cast<uint32_t>(p - text);
    if (character_bits_of(c) & kSpaceBit) {
      if (i > start) cut_chunk(start, i);
      start = next;
    }
    i = next;
  }
  if (end > start) cut_chunk(start, end);
}

// Marks come off both ends, as long as what is left is no special word.
void SplitText::cut_chunk(uint32_t begin, uint32_t end) {
  behind_.clear();
  while (begin < end && !add_special(begin, end)) {
    const std::string_view rest(buffer_.data() + begin, end - begin);
    auto front = static_cast<uint32_t>(prefix_size(rest));
    auto back = static_cast<uint32_t>(front < rest.size() ? suffix_size(rest.substr(front)) : 0);
    if (front == 0 && back == 0) {
      cut_inside(begin, end);
      break;
    }
    if (front > 0 && is_special(begin + front, end)) {
      back = 0;
    } else if (back > 0 && is_special(begin, end - back)) {
      front = 0;
    }
    if (front > 0) add_word(begin, begin + front);
    if (back > 0) behind_.emplace_back(end - back, end);
    begin += front;
    end -= back;
  }
  for (size_t i = behind_.size(); i-- > 0;) add_word(behind_[i].first, behind_[i].second);
}

bool SplitText::is_special(uint32_t begin, uint32_t end) const {
  return begin < end && specials_.find(hash_word(buffer_.data() + begin, end - begin));
}

bool SplitText::add_special(uint32_t begin, uint32_t end) {
  const SpecialWord* special = specials_.find(hash_word(buffer_.data() + begin, end - begin));
  if (!special) return false;
  uint32_t start = begin;
  for (const uint8_t cut : special->cuts) {
    if (cut == 0) break;
    add_word(start, begin + cut);
    start = begin + cut;
  }
  add_word(start, end);
  return true;
}

void SplitText::cut_inside(uint32_t begin, uint32_t end) {
  const std::string_view text(buffer_.data() + begin, end - begin);
  Infix infix = find_infix(text, 0);
  if (infix.size == 0 || is_address(text)) {
    add_word(begin, end);
    return;
  }
  uint32_t start = 0;
  for (; infix.size > 0; infix = find_infix(text, infix.begin + infix.size)) {
    const auto at = static_cast<uint32_t>(infix.begin);
    if (at == start) continue;
    add_word(begin + start, begin + at);
    add_word(begin + at, begin + at + static_cast<uint32_t>(infix.size));
    start = at + static_cast<uint32_t>(infix.size);
  }
  if (begin + start < end) add_word(begin + start, end);
}

void SplitText::add_line(size_t begin, size_t end) {
  const auto first = static_cast<uint32_t>(lines_.empty() ? 0 : lines_.back().end_word);
  const auto behind = std::lower_bound(words_.begin() + first, words_.end(), end,
                                       [](const Word& w, size_t at) { return w.begin < at; });
  const auto last = static_cast<uint32_t>(behind - words_.begin());
  lines_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), first, last});
}

// Python's splitlines: \n, \r\n, \r, \v, \f, \x1c to \x1e, U+0085, U+2028, U+2029.
void SplitText::split_lines() {
  const char* text = buffer_.data();
  const std::string_view all(text, size_);
  // Looked for only where a document has the bytes they end with.
  const auto has = [&](std::string_view mark) {
    return count(mark.back()) > 0 && all.find(mark) != all.npos;
  };
  bool plain = is_ascii() || !(has("\xC2\x85") || has("\xE2\x80\xA8") || has("\xE2\x80\xA9"));
  for (const char c : {'\r', '\v', '\f', '\x1c', '\x1d', '\x1e'}) plain = plain && count(c) == 0;
  if (plain) {
    size_t begin = 0;
    while (begin < size_) {
      const auto* newline =
          static_cast<const char*>(std::memchr(text + begin, '\n', size_ - begin));
      const size_t end = newline ? static_cast<size_t>(newline - text) : size_;
      add_line(begin, end);
      begin = end + 1;
    }
    return;
  }
  size_t begin = 0;
  for (size_t i = 0; i < size_;) {
    const char c = text[i];
    size_t size = 0;
    if (c == '\r') size = text[i + 1] == '\n' && i + 1 < size_ ? 2 : 1;
    if (c == '\n' || c == '\v' || c == '\f' || (c >= 0x1C && c <= 0x1E)) size = 1;
    if (all.substr(i, 2) == "\xC2\x85") size = 2;
    if (all.substr(i, 3) == "\xE2\x80\xA8" || all.substr(i, 3) == "\xE2\x80\xA9") size = 3;
    if (size == 0) {
      ++i;
      continue;
    }
    add_line(begin, i);
    i += size;
    begin = i;
  }
  if (begin < size_) add_line(begin, size_);
}

}  // namespace lathe

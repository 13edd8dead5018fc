#include "data/curate/split_text.h"

#include <algorithm>
#include <cstring>

#include "data/curate/affixes.h"
#include "data/curate/characters.h"
#include "data/curate/special_words.h"
#include "data/curate/text_pieces.h"
#include "data/tokenize/character_bits.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

constexpr size_t kRoomBehind = 128;

// Of a word, by what all and what any of its characters are.
constexpr uint32_t bits_of(uint8_t all, uint8_t any, uint32_t chars) {
  uint32_t bits = 0;
  if (any & kLetterBit) bits |= kHasLetter;
  if (all & kSymbolBit) bits |= kAllSymbols;
  if (all & kMarkBit) bits |= kAllMarks;
  if (chars == 1 && (all & kTerminalBit)) bits |= kSentenceEnd;
  if (!(any & (kLetterBit | kDigitBit | kHighBit))) bits |= kBetween;
  return bits;
}

// What a word of one byte of ASCII is.
struct ByteWord {
  uint32_t bits = 0;
  bool comes_off = false;  // a mark that is cut off behind letters whatever they are
  uint64_t hash = 0;
};

constexpr std::array<ByteWord, 256> make_byte_words() {
  std::array<ByteWord, 256> table{};
  for (size_t c = 0; c < 128; ++c) {
    table[c] = {bits_of(kByteBits[c], kByteBits[c], 1),
                c == ',' || c == ';' || c == ':' || c == '!' || c == '?',
                hash_eights(1, [c](size_t at) { return at == 0 ? uint64_t{c} : 0; })};
  }
  return table;
}
constexpr std::array<ByteWord, 256> kByteWords = make_byte_words();

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
  num_words_ = 0;
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
  line_ends_.resize(count);
  for (size_t w = 0; w < count; ++w) {
    const ByteBits bits = find(buffer_.data() + 64 * w);
    spaces_[w] = bits.spaces;
    not_spaces_[w] = ~bits.spaces;
    not_letters_[w] = ~bits.letters;
    line_ends_[w] = bits.line_ends;
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
  free_word() = {begin, size, size, kHasLetter | kAlone, hash};
  ++num_words_;
}

void SplitText::add_word(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  if (end - begin == 1) {  // ASCII
    const ByteWord& one = kByteWords[static_cast<unsigned char>(text[begin])];
    free_word() = {begin, 1, 1, one.bits, one.hash};
    ++num_words_;
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
  free_word() = word;
  ++num_words_;
}

void SplitText::split_words() {
  find_bits();
  const char* text = buffer_.data();
  const auto size = static_cast<uint32_t>(size_);
  for (uint32_t begin = next_bit(not_spaces_, 0); begin < size;) {
    uint32_t end = next_bit(not_letters_, begin);
    // Letters and at most one mark, which is most words. Whether there is a mark is no branch.
    const ByteWord& behind = kByteWords[static_cast<unsigned char>(text[end])];
    const bool marked = behind.comes_off & is_space(end + 1) & (end > begin);
    if (marked | is_space(end)) {
      add_plain_word(begin, end);
      free_word() = {end, 1, 1, behind.bits, behind.hash};
      num_words_ += marked;
      end += marked;
    } else if (text[end] == '.' && is_space(end + 1) && add_stopped_word(begin, end + 1)) {
      ++end;
    } else {
      end = next_bit(spaces_, end);
      add_chunk(begin, end);
    }
    // One blank is nearly always all there is.
    begin = is_space(end + 1) ? next_bit(not_spaces_, end) : end + 1;
  }
  free_word();
}

// Letters and a full stop, which comes off unless it belongs to them.
bool SplitText::add_stopped_word(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  if (end - begin < 2) return false;
  const bool upper = byte_bits(text[end - 2]) & kUpperBit;
  if (upper && (end - begin < 3 || !(byte_bits(text[end - 3]) & kUpperBit))) return false;
  if (is_special(begin, end)) return false;
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
  const uint32_t first = lines_.empty() ? 0 : lines_.back().end_word;
  const Word* words = words_.data();
  size_t last = first;
  while (last + 8 <= num_words_ && words[last + 7].begin < end) last += 8;
  size_t more = 0;
  for (size_t k = 0; k < 8; ++k) more += (last + k < num_words_) & (words[last + k].begin < end);
  TextLine line;
  line.begin = line.inner_begin = static_cast<uint32_t>(begin);
  line.end = line.inner_end = static_cast<uint32_t>(end);
  line.first_word = first;
  line.end_word = static_cast<uint32_t>(last + more);
  const std::string_view text = text_of(line);
  if (begin < end &&
      ((byte_bits(text.front()) | byte_bits(text.back())) & (kSpaceBit | kHighBit))) {
    const std::string_view inner = strip(text);
    line.inner_begin = static_cast<uint32_t>(inner.data() - buffer_.data());
    line.inner_end = line.inner_begin + static_cast<uint32_t>(inner.size());
    bare_ = bare_ && inner.size() == text.size();
  }
  lines_.push_back(line);
}

void SplitText::split_pieces() {
  lines_.clear();
  bare_ = true;
  size_t begin = 0;
  for (size_t w = 0; w < line_ends_.size(); ++w) {
    for (uint64_t bits = line_ends_[w]; bits != 0; bits &= bits - 1) {
      const size_t at = 64 * w + static_cast<size_t>(std::countr_zero(bits));
      if (buffer_[at] != '\n') continue;
      add_line(begin, at);
      begin = at + 1;
    }
  }
  if (begin < size_) add_line(begin, size_);
}

void SplitText::find_repeated_lines() {
  if (lines_.size() < 2) return;
  seen_lines_.start(lines_.size());
  for (TextLine& line : lines_) {
    if (line.begin < line.end)
      line.repeated = seen_lines_.add(hash_line(text_of(line)), 0).count > 1;
  }
}

// Python's splitlines: \n, \r\n, \r, \v, \f, \x1c to \x1e, U+0085, U+2028, U+2029.
void SplitText::split_lines() {
  const char* text = buffer_.data();
  const std::string_view all(text, size_);
  split_pieces();
  find_repeated_lines();
  // Looked for only where a document has the bytes they end with.
  const auto has = [&](std::string_view mark) {
    return count(mark.back()) > 0 && all.find(mark) != all.npos;
  };
  newlines_only_ = is_ascii() || !(has("\xC2\x85") || has("\xE2\x80\xA8") || has("\xE2\x80\xA9"));
  for (const char c : {'\r', '\v', '\f', '\x1c', '\x1d', '\x1e'})
    newlines_only_ = newlines_only_ && count(c) == 0;
  if (newlines_only_) return;
  pieces_.swap(lines_);
  lines_.clear();
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

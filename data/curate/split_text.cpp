#include "data/curate/split_text.h"

#include <algorithm>
#include <cstring>

#include "data/curate/affixes.h"
#include "data/curate/characters.h"
#include "data/curate/special_words.h"
#include "data/curate/text_pieces.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

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
  bool comes_off = false;  // a mark that is cut off behind letters
  bool stops = false;      // it may belong to them
  uint64_t hash = 0;
};

constexpr std::array<ByteWord, 256> make_byte_words() {
  std::array<ByteWord, 256> table{};
  for (size_t c = 0; c < 128; ++c) {
    table[c] = {bits_of(kByteBits[c], kByteBits[c], 1),
                c == ',' || c == ';' || c == ':' || c == '!' || c == '?' || c == '.', c == '.',
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
  buffer_.reserve(size_ + TextBits::kRoomBehind);
  buffer_.assign(text);
  buffer_.append(TextBits::kRoomBehind, '\0');
  bits_.read(buffer_.data(), size_);
  num_words_ = 0;
  split_words();
  split_lines();
}

inline void SplitText::add_plain_word(uint32_t begin, uint32_t end) {
  const uint32_t size = end - begin;
  const uint64_t hash = hash_word(buffer_.data() + begin, size);
  if (specials_.find_cut(hash)) {
    add_special(begin, end);
    return;
  }
  // What is cut when its letters are small is left to those who make them small.
  const uint64_t small = hash_small_word(buffer_.data() + begin, size);
  const bool alone = hash == small || !specials_.find_cut(small);
  free_word() = {begin, size, size, alone ? kHasLetter | kAlone : kHasLetter, hash, small};
  ++num_words_;
}

void SplitText::add_word(uint32_t begin, uint32_t end) {
  const char* text = buffer_.data();
  if (end - begin == 1) {  // ASCII
    const ByteWord& one = kByteWords[static_cast<unsigned char>(text[begin])];
    free_word() = {begin, 1, 1, one.bits, one.hash, 0};
    ++num_words_;
    return;
  }
  Word word{begin, end - begin, 0, 0, hash_word(text + begin, end - begin), 0};
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

// Letters and at most one mark behind them, which is most words, go without a branch that depends
// on either, and without waiting for the word before.
void SplitText::split_words() {
  const char* text = buffer_.data();
  const uint32_t* starts = bits_.starts.data();
  const size_t chunks = bits_.num_starts;
  if (words_before_.size() < chunks + 1) words_before_.resize(chunks + chunks / 2 + 64);
  uint32_t* words_before = words_before_.data();
  make_room_for_chunks(chunks);
  size_t num_words = 0;
  for (size_t k = 0; k < chunks; ++k) {
    const uint32_t begin = starts[k];
    words_before[k] = static_cast<uint32_t>(num_words);
    const uint32_t end = next_no_letter(begin), letters = end - begin;
    const ByteWord& behind = kByteWords[static_cast<unsigned char>(text[end])];
    const uint64_t spaces = TextBits::bits_from(bits_.spaces, end);
    const bool marked = behind.comes_off & (spaces >> 1) & (letters > 0);
    if ((spaces | marked) & 1) [[likely]] {
      const WordHashes hash = hash_both(text + begin, letters);
      const bool rare = (specials_.may_cut(hash.word) | specials_.may_cut(hash.small)) ||
                        ((behind.stops & marked) && keeps_stop(begin, end, hash.word));
      if (!rare) [[likely]] {
        Word* word = words_.data() + num_words;
        word[0] = {begin, letters, letters, kHasLetter | kAlone, hash.word, hash.small};
        word[1] = {end, 1, 1, behind.bits, behind.hash, 0};
        num_words += 1 + marked;
        continue;
      }
      num_words_ = num_words;
      add_rare_word(begin, end, marked);
    } else {
      num_words_ = num_words;
      add_chunk(begin, next_space(end));
    }
    make_room_for_chunks(chunks - k);
    num_words = num_words_;
  }
  words_before_[chunks] = static_cast<uint32_t>(num_words);
  num_words_ = num_words;
}

// Each of letters and a mark.
void SplitText::make_room_for_chunks(size_t chunks) {
  const size_t wanted = num_words_ + 2 * chunks + kWordsBehind;
  if (words_.size() < wanted) words_.resize(wanted + wanted / 2);
}

// Whether a full stop behind letters may belong to them: no is certain.
inline bool SplitText::keeps_stop(uint32_t begin, uint32_t end, uint64_t hash) const {
  const bool one = end - begin < 2;
  const auto is_upper = [](char letter) { return (letter & 0x20) == 0; };
  const bool initial = is_upper(buffer_[end - 1]) & !is_upper(buffer_[end - 2 + one]);
  return one | initial | specials_.may_keep_stop(hash);
}

// Letters that a look at the special words is due for, and the mark behind them.
void SplitText::add_rare_word(uint32_t begin, uint32_t end, bool marked) {
  if (marked && buffer_[end] == '.') {
    if (!add_stopped_word(begin, end + 1)) add_chunk(begin, end + 1);
    return;
  }
  add_plain_word(begin, end);
  if (marked) add_word(end, end + 1);
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
  TextLine line;
  line.begin = line.inner_begin = static_cast<uint32_t>(begin);
  line.end = line.inner_end = static_cast<uint32_t>(end);
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

void SplitText::count_in_lines() {
  static const TextLoops loops = text_loops();
  stretches_.resize(lines_.size());
  for (size_t i = 0; i < lines_.size(); ++i)
    stretches_[i] = {.begin = lines_[i].begin, .end = lines_[i].end};
  loops.count(bits_, stretches_.data(), stretches_.size());
  uint32_t word = 0;
  for (size_t i = 0; i < lines_.size(); ++i) {
    TextLine& line = lines_[i];
    line.chars = stretches_[i].chars;
    line.upper = stretches_[i].upper;
    line.digits = stretches_[i].digits;
    line.first_word = word;
    word = words_before_[stretches_[i].chunks_before_end];
    // A chunk holds the ends of lines that are none of ASCII's six.
    while (word > line.first_word && words_[word - 1].begin >= line.end) --word;
    line.end_word = word;
  }
}

void SplitText::split_pieces() {
  lines_.clear();
  bare_ = true;
  size_t begin = 0;
  for (size_t w = 0; w <= size_ / 64; ++w) {
    for (uint64_t bits = bits_.newlines[w]; bits != 0; bits &= bits - 1) {
      const size_t at = 64 * w + static_cast<size_t>(std::countr_zero(bits));
      add_line(begin, at);
      begin = at + 1;
    }
  }
  if (begin < size_) add_line(begin, size_);
  count_in_lines();
}

void SplitText::find_repeated_lines() {
  if (lines_.size() < 2) return;
  seen_lines_.start(lines_.size());
  for (TextLine& line : lines_) {
    if (line.begin < line.end)
      line.repeated = seen_lines_.add(hash_line(text_of(line)), 0).count > 1;
  }
}

void SplitText::split_lines() {
  split_pieces();
  find_repeated_lines();
  newlines_only_ = !bits_.counts.other_line_ends;
  if (!newlines_only_) split_other_lines();
}

// Python's splitlines: \n, \r\n, \r, \v, \f, \x1c to \x1e, U+0085, U+2028, U+2029.
void SplitText::split_other_lines() {
  const char* text = buffer_.data();
  const std::string_view all(text, size_);
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
  count_in_lines();
}

}  // namespace lathe

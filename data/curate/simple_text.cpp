#include "data/curate/simple_text.h"

#include <utf8proc.h>

#include <array>
#include <cstring>

#include "data/curate/characters.h"
#include "data/curate/special_words.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

constexpr size_t kRoomBehind = 128;
// A byte of ASCII as it is written; 0: it separates words; 1: a digit; 2: not ASCII.
constexpr char kSeparator = 0, kDigit = 1, kWide = 2;

constexpr std::array<char, 256> make_table() {
  std::array<char, 256> table{};
  for (int i = 0; i < 256; ++i) {
    const auto bits = kByteBits[static_cast<size_t>(i)];
    char to = kSeparator;
    if (bits & kLetterBit) to = static_cast<char>(i | 0x20);
    if (bits & kDigitBit) to = kDigit;
    if (bits & kHighBit) to = kWide;
    table[static_cast<size_t>(i)] = to;
  }
  return table;
}
constexpr std::array<char, 256> kTable = make_table();

char entry(char c) { return kTable[static_cast<unsigned char>(c)]; }

bool is_decimal_separator(uint32_t c) {
  return c == '.' || c == ',' || c == 0x60C || c == 0x66B || (c >= 0x2396 && c <= 0x2398);
}

// Behind a run of digits that begins at p, with one decimal part.
const char* pass_number(const char* p, const char* end) {
  const auto pass_digits = [end](const char* q) {
    while (q < end) {
      const char* next = q;
      const uint32_t c = next_code_point(next);
      if (c < 128 ? !(kByteBits[c] & kDigitBit) : !is_decimal_digit(c)) break;
      q = next;
    }
    return q;
  };
  p = pass_digits(p);
  if (p >= end) return p;
  const char* next = p;
  if (!is_decimal_separator(next_code_point(next))) return p;
  const char* behind = pass_digits(next);
  return behind > next ? behind : p;
}

}  // namespace

// The word at buffer_[begin, size_) at the place behind the last one, not counted yet.
inline void SimpleText::set_piece(size_t begin, uint32_t source_begin, uint32_t source_end,
                                  uint64_t hash) {
  pieces_[num_pieces_] = {static_cast<uint32_t>(begin), static_cast<uint32_t>(size_), source_begin,
                          source_end};
  hashes_[num_pieces_] = hash;
  buffer_[size_] = ' ';
}

// Ends the word at buffer_[begin, size_).
void SimpleText::add_piece(size_t begin, uint32_t source_begin, uint32_t source_end,
                           uint64_t hash) {
  set_piece(begin, source_begin, source_end, hash);
  ++num_pieces_;
  ++size_;
  make_room_for_pieces();
}

// What a chunk without white space becomes stands at buffer_[begin, size_).
void SimpleText::finish_chunk(size_t begin, bool plain, uint32_t source_begin,
                              uint32_t source_end) {
  if (size_ == begin) return;
  const uint64_t hash = hash_word(buffer_.data() + begin, size_ - begin);
  if (!plain || is_cut(hash)) {
    cut_chunk(begin, source_begin, source_end);
    return;
  }
  add_piece(begin, source_begin, source_end, hash);
}

bool SimpleText::is_cut(uint64_t hash) const {
  const SpecialWord* special = specials_.find(hash);
  return special && special->cuts[0] != 0;
}

void SimpleText::cut_chunk(size_t begin, uint32_t source_begin, uint32_t source_end) {
  chunk_.assign(buffer_, begin, size_ - begin);
  cutter_.split(chunk_);
  size_ = begin;
  make_room(source_size_ - source_end + chunk_.size());
  for (const Word& word : cutter_.words()) {
    const std::string_view text = cutter_.text_of(word);
    text.copy(buffer_.data() + size_, text.size());
    const size_t piece = size_;
    size_ += text.size();
    add_piece(piece, source_begin, source_end, hash_word(buffer_.data() + piece, text.size()));
  }
}

// False for what separates words.
bool SimpleText::add_wide(uint32_t code_point, bool& plain) {
  const auto lower =
      static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point)));
  const uint8_t bits = wide_character_bits(lower);
  if ((bits & kSpaceBit) || ((bits & kSymbolBit) && !(bits & kTerminalBit)) || lower == 0x3002 ||
      lower == 0xFF01 || lower == 0xFF0E || lower == 0xFF1F)
    return false;
  std::array<utf8proc_int32_t, 32> parts;
  int last_boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(lower), parts.data(),
                                             parts.size(), UTF8PROC_DECOMPOSE, &last_boundary);
  for (utf8proc_ssize_t i = 0; i < count && i < static_cast<utf8proc_ssize_t>(parts.size()); ++i) {
    const auto c = static_cast<uint32_t>(parts[static_cast<size_t>(i)]);
    if (c >= 128 && is_nonspacing_mark(c)) continue;
    char bytes[8];
    std::string_view view(bytes, 0);
    if (c < 128) {
      buffer_[size_++] = static_cast<char>(c);
      continue;
    }
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c),
                                           reinterpret_cast<utf8proc_uint8_t*>(bytes));
    view = {bytes, static_cast<size_t>(size)};
    view.copy(buffer_.data() + size_, view.size());
    size_ += view.size();
    if (!(wide_character_bits(c) & kLetterBit)) plain = false;
  }
  return true;
}

// Small letters, sixteen at a time; what is written too much is written over.
inline void SimpleText::copy_letters(const char* from, size_t count) {
  char* to = buffer_.data() + size_;
  size_ += count;
  size_t at = 0;
  do {
    uint64_t two[2];
    std::memcpy(two, from + at, 16);
    two[0] |= hash_words::kSmall;
    two[1] |= hash_words::kSmall;
    std::memcpy(to + at, two, 16);
    at += 16;
  } while (at < count);
}

// Of so many bytes of the source comes at most twice as much, a blank behind a letter, but where
// characters are taken apart or chunks are cut, which ask again.
void SimpleText::make_room(size_t source_left) {
  const size_t wanted = size_ + 2 * source_left + kRoomBehind;
  if (buffer_.size() < wanted) buffer_.resize(wanted + wanted / 2);
}

// There is always room for a piece of each word that stands alone in the source, and one more.
void SimpleText::make_room_for_pieces() {
  if (num_pieces_ + num_source_words_ < pieces_.size()) return;
  pieces_.resize(2 * (num_pieces_ + num_source_words_) + 1024);
  hashes_.resize(pieces_.size());
}

void SimpleText::start(const SplitText& split) {
  size_ = 0;
  source_size_ = split.text().size();
  make_room(source_size_);
  num_pieces_ = 0;
  num_source_words_ = split.words().size();
  make_room_for_pieces();
}

void SimpleText::make(std::string_view text) {
  whole_.split(text);
  make(whole_);
}

// Letters that stand alone, or marks, which are written and not counted: which of the two comes
// next is nothing to foretell, and so is no branch.
inline void SimpleText::add_simple_word(const char* source, const Word& word) {
  const bool counts = word.bits & kAlone;
  const size_t begin = size_;
  copy_letters(source + word.begin, counts ? word.size : 0);
  set_piece(begin, word.begin, word.begin + word.size, word.small_hash);
  num_pieces_ += counts;
  size_ += counts;
}

void SimpleText::make(const SplitText& split) {
  start(split);
  const std::span<const Word> words = split.words();
  for (size_t i = 0; i < words.size();) {
    const Word& word = words[i];
    if (word.bits & (kAlone | kBetween)) {
      add_simple_word(split.text().data(), word);
      ++i;
      continue;
    }
    const uint32_t end = split.next_space(word.begin);
    add_range(split, word.begin, end);
    while (i < words.size() && words[i].begin < end) ++i;
  }
  if (size_ > 0) --size_;  // the blank behind the last word
}

void SimpleText::add_range(const SplitText& split, uint32_t from, uint32_t to) {
  const char *const start = split.text().data(), *const end = start + to;
  size_t begin = size_;
  const char* chunk = start + from;
  bool plain = true;
  const auto finish = [&](const char* here) {
    finish_chunk(begin, plain, static_cast<uint32_t>(chunk - start),
                 static_cast<uint32_t>(here - start));
    begin = size_;
    plain = true;
  };
  for (const char* p = chunk; p < end;) {
    const char to = entry(*p);
    if (to > kWide) {
      const auto at = static_cast<uint32_t>(p - start);
      const size_t count = split.next_no_letter(at) - at;
      copy_letters(p, count);
      p += count;
      continue;
    }
    if (to == kSeparator) {
      if (size_ > begin) finish(p);
      chunk = ++p;
      continue;
    }
    if (to == kDigit) {
      plain = plain && size_ == begin;
      buffer_[size_++] = '0';
      p = pass_number(p, end);
      if (p < end && entry(*p) > kWide) plain = false;
      continue;
    }
    const char* here = p;
    const uint32_t c = next_code_point(p);
    if (is_decimal_digit(c)) {
      buffer_[size_++] = '0';
      p = pass_number(here, end);
      plain = false;
    } else if (add_wide(c, plain)) {
      make_room(source_size_ - static_cast<size_t>(p - start));
    } else {
      if (size_ > begin) finish(here);
      chunk = p;
    }
  }
  if (size_ > begin) finish(end);
}

}  // namespace lathe

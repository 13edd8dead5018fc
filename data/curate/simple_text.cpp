#include "data/curate/simple_text.h"

#include <utf8proc.h>

#include <array>
#include <bit>
#include <cstring>

#include "data/curate/characters.h"
#include "data/curate/special_words.h"
#include "data/tokenize/character_bits.h"
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

// What a chunk without white space becomes stands at buffer_[begin, size_).
void SimpleText::finish_chunk(size_t begin, bool plain, uint32_t source_begin,
                              uint32_t source_end) {
  if (size_ == begin) return;
  const uint64_t hash = hash_word(buffer_.data() + begin, size_ - begin);
  const SpecialWord* special = specials_.find(hash);
  if (!plain || (special && special->cuts[0] != 0)) {
    cut_chunk(begin, source_begin, source_end);
    return;
  }
  pieces_.push_back(
      {static_cast<uint32_t>(begin), static_cast<uint32_t>(size_), source_begin, source_end});
  hashes_.push_back(hash);
  buffer_[size_++] = ' ';
}

void SimpleText::cut_chunk(size_t begin, uint32_t source_begin, uint32_t source_end) {
  chunk_.assign(buffer_, begin, size_ - begin);
  cutter_.split(chunk_);
  size_ = begin;
  // Blanks between the pieces need room.
  if (buffer_.size() < begin + 2 * chunk_.size() + kRoomBehind)
    buffer_.resize(begin + 2 * chunk_.size() + kRoomBehind);
  for (const Word& word : cutter_.words()) {
    const std::string_view text = cutter_.text_of(word);
    text.copy(buffer_.data() + size_, text.size());
    pieces_.push_back({static_cast<uint32_t>(size_), static_cast<uint32_t>(size_ + text.size()),
                       source_begin, source_end});
    hashes_.push_back(hash_word(buffer_.data() + size_, text.size()));
    size_ += text.size();
    buffer_[size_++] = ' ';
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
    if (size_ + 2 * kRoomBehind > buffer_.size()) buffer_.resize(2 * buffer_.size());
    view.copy(buffer_.data() + size_, view.size());
    size_ += view.size();
    if (!(wide_character_bits(c) & kLetterBit)) plain = false;
  }
  return true;
}

// Small letters from here on, eight at a time; what is written too much is written over.
const char* SimpleText::copy_letters(const char* from) {
  const auto at = static_cast<size_t>(from - input_.data());
  size_t word = at / 64;
  uint64_t left = not_letters_[word] & (~uint64_t{0} << (at % 64));
  while (left == 0) left = not_letters_[++word];
  const size_t count = word * 64 + static_cast<size_t>(std::countr_zero(left)) - at;
  char* to = buffer_.data() + size_;
  for (size_t k = 0; k < count; k += 8) {
    uint64_t eight;
    std::memcpy(&eight, from + k, 8);
    eight |= 0x2020202020202020;
    std::memcpy(to + k, &eight, 8);
  }
  size_ += count;
  return from + count;
}

void SimpleText::make(std::string_view text) {
  static const FindByteBits find = find_byte_bits();
  input_.reserve(text.size() + kRoomBehind);
  input_.assign(text);
  input_.append(kRoomBehind, '\0');
  not_letters_.resize(text.size() / 64 + 2);
  for (size_t w = 0; w <= text.size() / 64; ++w)
    not_letters_[w] = ~find(input_.data() + 64 * w).letters;
  not_letters_.back() = ~uint64_t{0};
  const size_t room = 2 * text.size() + 4 * kRoomBehind;
  if (buffer_.size() < room) buffer_.resize(room);
  size_ = 0;
  pieces_.clear();
  hashes_.clear();
  pieces_.reserve(text.size() / 4 + 16);
  hashes_.reserve(text.size() / 4 + 16);
  const char *const start = input_.data(), *const end = start + text.size();
  size_t begin = 0;
  const char* chunk = start;
  bool plain = true;
  const auto finish = [&](const char* here) {
    finish_chunk(begin, plain, static_cast<uint32_t>(chunk - start),
                 static_cast<uint32_t>(here - start));
    begin = size_;
    plain = true;
  };
  for (const char* p = start; p < end;) {
    const char to = entry(*p);
    if (to > kWide) {
      p = copy_letters(p);
      continue;
    }
    if (to == kSeparator) {
      if (size_ > begin) finish(p);
      chunk = ++p;
      continue;
    }
    if (size_ + 2 * kRoomBehind > buffer_.size()) buffer_.resize(2 * buffer_.size());
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
    } else if (!add_wide(c, plain)) {
      if (size_ > begin) finish(here);
      chunk = p;
    }
  }
  if (size_ > begin) finish(end);
  if (size_ > 0) --size_;  // the blank behind the last word
}

}  // namespace lathe

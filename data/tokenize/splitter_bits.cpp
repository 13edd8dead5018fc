#include "data/tokenize/contraction.h"
#include "data/tokenize/splitter.h"
#include "data/tokenize/unicode.h"

// Where words begin, for 64 bytes at once. A rule of a pattern becomes a rule about a byte and its
// neighbours: letters begin a word where the byte before is neither a letter nor a blank, and so
// on.
namespace lathe {
namespace {

using Row = CharacterBits::Row;

template <typename Visit>
void for_each_bit(uint64_t bits, size_t w, Visit visit) {
  for (; bits != 0; bits &= bits - 1) visit(w * 64 + static_cast<size_t>(std::countr_zero(bits)));
}

// The last white space before something else begins a word. A wide one is marked at its last byte;
// its first is meant.
void move_to_first_bytes(const CharacterBits& bits, size_t w, uint64_t last_spaces, Row& starts) {
  for_each_bit(last_spaces & bits.continuations[w], w, [&](size_t i) {
    starts.clear(i);
    while (bits.continuations.has(i)) --i;
    starts.set(i);
  });
}

// Whether the wide character that ends before byte i is the only one of its word, so that letters
// at i belong to it.
bool is_alone(const CharacterBits& bits, const Row& others, size_t i) {
  do --i;
  while (bits.continuations.has(i));
  return i == 0 || (!others.has(i - 1) && !bits.blanks.has(i - 1));
}

Row others_of(const CharacterBits& bits) {
  Row others;
  others[~size_t{0}] = 0;
  for (size_t w = 0; w < bits.words; ++w)
    others[w] = ~(bits.letters[w] | bits.numbers[w] | bits.spaces[w]);
  if (bits.size % 64 != 0) others[bits.words - 1] &= ~(~uint64_t{0} << (bits.size % 64));
  others[bits.words] = 0;
  return others;
}

}  // namespace

size_t Splitter::find_starts(CharacterBits& bits, const char* end, Row& starts) const {
  const bool to_the_end = bits.text + bits.size == end;
  // White space that ends the text stays together, as before more of it.
  if (to_the_end) bits.spaces.set(bits.size);
  gpt2_ ? find_gpt2_starts(bits, starts) : find_llama3_starts(bits, starts);
  for (size_t w = 0; w < bits.words; ++w) {
    // One at a time: what is behind an ending may be the next one.
    for_each_bit(bits.quotes[w], w, [&](size_t i) {
      if (!starts.has(i) && i > 0) return;
      const char* p = bits.text + i;
      const size_t n = gpt2_ ? contraction(p, end) : contraction_any_case(p, end);
      if (n == 0 || i + n > bits.size) return;
      for (size_t inner = i + 1; inner < i + n; ++inner) starts.clear(inner);
      starts.set(i + n);
    });
  }
  if (to_the_end) return bits.size;
  size_t limit = bits.size;
  while (limit > 0 && bits.spaces.has(limit - 1)) --limit;
  constexpr size_t kLookAhead = 8;
  return std::min(limit, bits.size - kLookAhead);
}

void Splitter::find_gpt2_starts(const CharacterBits& bits, Row& starts) const {
  const Row others = others_of(bits);
  for (size_t w = 0; w < bits.words; ++w) {
    const uint64_t after_blank = bits.blanks.before(w);
    const auto begins = [&](const Row& row) { return row[w] & ~row.before(w); };
    uint64_t last_spaces = bits.spaces[w] & ~bits.spaces.behind(w);
    uint64_t numbers = begins(bits.numbers) & ~after_blank;
    if (digits_alone_) {
      last_spaces &= ~bits.numbers.behind(w);
      numbers = bits.numbers[w] & ~bits.continuations[w];
    }
    starts[w] = begins(bits.spaces) | last_spaces | numbers |
                ((begins(bits.letters) | begins(others)) & ~after_blank);
    move_to_first_bytes(bits, w, last_spaces, starts);
  }
}

void Splitter::find_llama3_starts(const CharacterBits& bits, Row& starts) const {
  const Row others = others_of(bits);
  uint64_t white_before = 0, free_ends_before = 0, taken_before = 0;  // of the word before, bit 63
  for (size_t w = 0; w < bits.words; ++w) {
    const uint64_t line_ends = bits.line_ends[w], white = bits.spaces[w];
    const uint64_t after_blank = bits.blanks.before(w);
    // Line ends right behind other characters are taken by those.
    const uint64_t first_taken = line_ends & (others.before(w) | taken_before);
    const uint64_t taken = line_ends & ~(line_ends + first_taken);
    const uint64_t free_white = white & ~taken, free_ends = line_ends & ~taken;
    const uint64_t inner = white & ~line_ends;  // white space within a line
    const uint64_t last_spaces = inner & ~bits.spaces.behind(w);
    const uint64_t white_begins = free_white & ~(free_white << 1 | white_before);
    // Letters take the one character before them, unless that is a part of something.
    const uint64_t letters_begin = bits.letters[w] & ~bits.letters.before(w);
    const uint64_t after_inner = bits.spaces.before(w) & ~bits.line_ends.before(w);
    const uint64_t others_begin = others[w] & ~others.before(w) & ~after_blank;
    starts[w] = white_begins | last_spaces | others_begin | (letters_begin & ~after_inner) |
                (bits.numbers[w] & ~bits.continuations[w]);
    for_each_bit(letters_begin & others.before(w), w, [&](size_t i) {
      if (is_alone(bits, others, i)) starts.clear(i);
    });
    // White space behind the last line end of its run.
    for_each_bit(inner & (free_ends << 1 | free_ends_before), w, [&](size_t i) {
      size_t stop = i;
      while (bits.spaces.has(stop) && !bits.line_ends.has(stop) && stop < bits.size) ++stop;
      if (stop == bits.size || !bits.line_ends.has(stop)) starts.set(i);
    });
    move_to_first_bytes(bits, w, last_spaces, starts);
    white_before = free_white >> 63;
    free_ends_before = free_ends >> 63;
    taken_before = taken >> 63;
  }
  if (max_digits_ == 1) return;
  for (size_t w = 0; w < bits.words; ++w) {
    for_each_bit(bits.numbers[w] & ~bits.numbers.before(w), w, [&](size_t i) {
      for (int n = 0; i < bits.size && bits.numbers.has(i); ++n) {
        if (n % max_digits_ != 0) starts.clear(i);
        i += utf8_length(bits.text[i]);
      }
    });
  }
}

}  // namespace lathe

#pragma once

#include "data/curate/text_bits.h"

// One loop for every instruction set, over a Block of 64 bytes that compares all of them at once.
// Unnamed, so that each file keeps its own: of equal names the linker would take any one for all.
namespace lathe::text_bits_loop {
namespace {

template <class Block>
void count_wide(const char* at, const Block& x, TextCounts& counts) {
  const uint64_t continuations = x.below_signed(-64), high = x.below_signed(0);
  counts.continuations += static_cast<uint32_t>(__builtin_popcountll(continuations));
  counts.not_ascii += static_cast<uint32_t>(__builtin_popcountll(high));
  const Block second(at + 1), third(at + 2);
  const uint64_t e2_80 = x.is('\xE2') & second.is('\x80');
  counts.ellipses += static_cast<uint32_t>(__builtin_popcountll(e2_80 & third.is('\xA6')));
  const uint64_t ends = (e2_80 & third.within('\xA8', '\xA9')) | (x.is('\xC2') & second.is('\x85'));
  counts.other_line_ends |= ends != 0;
}

// Letters of "m ip", "vasc", "okie", "s of u" and "vacy", large or small: of every phrase that C4's
// rules look for.
template <class Block>
bool may_hold_phrases(const char* at, const Block& small) {
  const Block second = Block(at + 1).with(0x20), third = Block(at + 2).with(0x20),
              fourth = Block(at + 3).with(0x20), sixth = Block(at + 5).with(0x20);
  const uint64_t v = small.is('v'), i = third.is('i');
  return ((small.is('m') & i & fourth.is('p')) | (v & third.is('s') & fourth.is('c')) |
          (small.is('o') & second.is('k') & i & fourth.is('e')) |
          (small.is('s') & third.is('o') & fourth.is('f') & sixth.is('u')) |
          (v & third.is('c') & fourth.is('y'))) != 0;
}

template <class Block>
void read(const char* text, size_t size, TextBits& bits) {
  const auto ones = [](uint64_t row) { return static_cast<uint32_t>(__builtin_popcountll(row)); };
  TextCounts counts;
  TextRow row;
  uint64_t space_before = 1;  // the text begins as behind white space
  uint32_t* starts = bits.starts.data();
  for (size_t w = 0; w <= size / 64; ++w) {
    const char* at = text + 64 * w;
    const Block x(at), small = x.with(0x20);
    const uint64_t blanks = x.is(' ') | x.within('\t', '\r');
    const uint64_t spaces = w < size / 64 ? blanks : blanks | ~uint64_t{0} << (size % 64);
    const uint64_t newlines = x.is('\n'), letters = small.within('a', 'z');
    const uint64_t separators = x.within('\x1c', '\x1f'), curly = x.is('{');
    bits.spaces.data()[w] = spaces;
    bits.not_letters.data()[w] = ~letters;
    bits.newlines.data()[w] = newlines;
    row.starts = ~spaces & (spaces << 1 | space_before);
    row.upper = x.within('A', 'Z');
    row.digits = x.within('0', '9');
    row.continuations = x.below_signed(-64);
    bits.rows.data()[w] = row;
    space_before = spaces >> 63;
    Block::write_places(starts, row.starts, static_cast<uint32_t>(64 * w));
    starts += ones(row.starts);
    row.starts_before += ones(row.starts);
    row.upper_before += ones(row.upper);
    row.digits_before += ones(row.digits);
    row.continuations_before += ones(row.continuations);
    counts.letters += ones(letters);
    counts.spaces += ones(blanks | separators);
    counts.newlines += ones(newlines);
    counts.hashes += ones(x.is('#'));
    counts.brackets += ones(small.is('{') | small.is('}') | x.within('(', ')'));
    counts.open_square += ones(x.is('['));
    counts.open_curly += ones(curly);
    const uint64_t stops = x.is('.');
    const Block second(at + 1), third(at + 2);
    counts.three_dots |= (stops & second.is('.') & third.is('.')) != 0;
    const uint64_t places =
        (x.is(':') & second.is('/') & third.is('/')) | (x.is('w') & second.is('w') & third.is('w'));
    counts.addresses |= places != 0;
    counts.phrases |= may_hold_phrases(at, small);
    counts.other_line_ends |= ((blanks & x.within('\v', '\r')) | (separators & ~x.is('\x1f'))) != 0;
    if (x.below_signed(0) != 0) count_wide(at, x, counts);
  }
  counts.digits = row.digits_before;
  bits.num_starts = row.starts_before;
  bits.counts = counts;
}

void count(const TextBits& bits, TextStretch* stretches, size_t num_stretches) {
  const TextRow* rows = bits.rows.data();
  const auto before = [](uint64_t row, uint32_t at) {
    return static_cast<uint32_t>(__builtin_popcountll(row & ~(~uint64_t{0} << (at % 64))));
  };
  for (size_t i = 0; i < num_stretches; ++i) {
    TextStretch& s = stretches[i];
    const TextRow &from = rows[s.begin / 64], &to = rows[s.end / 64];
    s.chunks_before_end = to.starts_before + before(to.starts, s.end);
    s.upper =
        to.upper_before + before(to.upper, s.end) - from.upper_before - before(from.upper, s.begin);
    s.digits = to.digits_before + before(to.digits, s.end) - from.digits_before -
               before(from.digits, s.begin);
    s.chars = s.end - s.begin -
              (to.continuations_before + before(to.continuations, s.end) -
               from.continuations_before - before(from.continuations, s.begin));
  }
}

}  // namespace
}  // namespace lathe::text_bits_loop

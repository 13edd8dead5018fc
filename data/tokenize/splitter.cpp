#include "data/tokenize/splitter.h"

#include <string_view>

#include "data/tokenize/contraction.h"
#include "data/tokenize/patterns.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

using Kind = PreTokenizerStep::Kind;

bool is_plain_byte_level(const PreTokenizerStep& step) {
  return step.kind == Kind::kByteLevel && step.prepend == PreTokenizerStep::Prepend::kNever;
}

}  // namespace

std::optional<Splitter::Pattern> Splitter::pattern_of(const std::vector<PreTokenizerStep>& steps) {
  if (steps.empty() || steps.size() > 2 || !is_plain_byte_level(steps.back())) return std::nullopt;
  const bool use_regex = steps.back().use_regex;
  if (steps.size() == 1) return use_regex ? std::optional(Pattern::kGpt2) : std::nullopt;
  const PreTokenizerStep& first = steps.front();
  if (first.kind == Kind::kDigits) {
    return use_regex && first.individual_digits ? std::optional(Pattern::kGpt2Digits)
                                                : std::nullopt;
  }
  // The patterns match every character: to drop what lies between matches changes nothing.
  const bool each_match_a_word = first.invert ? first.behavior == SplitBehavior::kRemoved
                                              : first.behavior == SplitBehavior::kIsolated;
  if (first.kind != Kind::kSplitRegex || !each_match_a_word || use_regex) return std::nullopt;
  if (first.pattern == kGpt2Pattern) return Pattern::kGpt2;
  if (first.pattern == kLlama3Pattern) return Pattern::kLlama3;
  if (first.pattern == kQwen2Pattern) return Pattern::kQwen2;
  return std::nullopt;
}

Splitter::Splitter(Pattern pattern)
    : gpt2_(pattern == Pattern::kGpt2 || pattern == Pattern::kGpt2Digits),
      digits_alone_(pattern == Pattern::kGpt2Digits),
      max_digits_(pattern == Pattern::kLlama3 ? 3 : 1),
      classes_(0x10000, kOther) {
  for (uint32_t c = 0; c < 0x10000; ++c) {
    if (is_letter(c)) classes_[c] = kLetter;
    if (is_number(c)) classes_[c] = kNumber;
    if (is_space(c)) classes_[c] = kSpace;
  }
  for (const Class kind : classes_) kinds_.push_back(static_cast<CharacterKind>(kind));
  classes_['\n'] = classes_['\r'] = kNewline;
}

inline Splitter::Character Splitter::at(const char* p, const char* end) const {
  if (p >= end) return {kEnd, 0};
  const auto lead = static_cast<unsigned char>(*p);
  if (lead < 0x80) return {classes_[lead], 1};
  const char* q = p;
  const uint32_t c = next_code_point(q);
  const auto size = static_cast<uint8_t>(q - p);
  if (c < 0x10000) return {classes_[c], size};
  return {is_letter(c) ? kLetter : is_number(c) ? kNumber : kOther, size};
}

inline const char* Splitter::run(const char* p, const char* end, Class kind) const {
  while (p < end) {
    const auto lead = static_cast<unsigned char>(*p);
    if (lead < 0x80) {
      if (classes_[lead] != kind) return p;
      ++p;
      continue;
    }
    const Character next = at(p, end);
    if (next.kind != kind) return p;
    p += next.size;
  }
  return p;
}

// \s+(?!\S)|\s+ : all of the run at the text's end, else all but its last character (which goes to
// what follows).
const char* Splitter::white_space_end_plain(const char* p, const char* end, bool digits_end) const {
  const char* last = p;
  const char* q = p;
  Character next = at(q, end);
  while (next.kind == kSpace || next.kind == kNewline) {
    last = q;
    q += next.size;
    next = at(q, end);
  }
  const bool at_end = next.kind == kEnd || (digits_end && next.kind == kNumber);
  return at_end || last == p ? q : last;
}

const char* Splitter::gpt2_word_end_plain(const char* p, const char* end) const {
  Character first = at(p, end);
  if (*p == '\'') {
    if (const size_t n = contraction(p, end)) return p + n;
  }
  const char* start = p;
  if (*p == ' ') {
    const Character next = at(p + 1, end);
    const bool joins =
        next.kind == kLetter || next.kind == kOther || (next.kind == kNumber && !digits_alone_);
    if (!joins) return white_space_end_plain(p, end, digits_alone_);
    start = p + 1;
    first = next;
  }
  if (first.kind == kSpace || first.kind == kNewline)
    return white_space_end_plain(p, end, digits_alone_);
  if (first.kind == kNumber && digits_alone_) return start + first.size;
  return run(start + first.size, end, first.kind);
}

const char* Splitter::llama3_word_end_plain(const char* p, const char* end) const {
  const Character first = at(p, end);
  if (first.kind == kLetter) return run(p + first.size, end, kLetter);
  if (*p == '\'') {
    if (const size_t n = contraction_any_case(p, end)) return p + n;
  }
  if (first.kind == kNumber) {
    const char* q = p + first.size;
    for (int i = 1; i < max_digits_; ++i) {
      const Character next = at(q, end);
      if (next.kind != kNumber) break;
      q += next.size;
    }
    return q;
  }
  if (first.kind != kNewline) {
    const Character next = at(p + first.size, end);
    if (next.kind == kLetter) return run(p + first.size + next.size, end, kLetter);
    if (first.kind == kOther || (*p == ' ' && next.kind == kOther)) {
      const char* q = run(p + first.size, end, kOther);
      while (q < end && (*q == '\r' || *q == '\n')) ++q;
      return q;
    }
  }
  // White space: up to its last line end if it has one.
  const char* after_newline = nullptr;
  const char* q = p;
  for (Character next = first; next.kind == kSpace || next.kind == kNewline; next = at(q, end)) {
    q += next.size;
    if (next.kind == kNewline) after_newline = q;
  }
  return after_newline ? after_newline : white_space_end_plain(p, end, false);
}

}  // namespace lathe

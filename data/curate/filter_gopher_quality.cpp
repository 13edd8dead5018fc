#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

// Rae et al. 2021 (Gopher), table A1, quality; definitions as datatrove's, which counts stop words
// by kind and takes the mean of word lengths.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"words", "words that are not only punctuation"},
    {"mean_word_length", "their mean length in characters"},
    {"hashes", "# per word"},
    {"ellipses", "... and U+2026 per word"},
    {"bullet_lines", "share of lines that begin with a bullet"},
    {"ellipsis_lines", "share of lines that end with an ellipsis"},
    {"alphabetic_words", "share of words with a letter"},
    {"stop_words", "how many of the, be, to, of, and, that, have, with occur"}};

constexpr FilterRule kRules[] = {
    {"gopher_short_doc", "words", FilterRule::kBelow, 50},
    {"gopher_long_doc", "words", FilterRule::kAbove, 100000},
    {"gopher_below_avg_threshold", "mean_word_length", FilterRule::kBelow, 3},
    {"gopher_above_avg_threshold", "mean_word_length", FilterRule::kAbove, 10},
    {"gopher_too_many_hashes", "hashes", FilterRule::kAbove, 0.1},
    {"gopher_too_many_ellipsis", "ellipses", FilterRule::kAbove, 0.1},
    {"gopher_too_many_bullets", "bullet_lines", FilterRule::kAbove, 0.9},
    {"gopher_too_many_end_ellipsis", "ellipsis_lines", FilterRule::kAbove, 0.3},
    {"gopher_below_alpha_threshold", "alphabetic_words", FilterRule::kBelow, 0.8},
    {"gopher_enough_stop_words", "stop_words", FilterRule::kBelow, 2}};

constexpr std::string_view kEllipsis = "\xE2\x80\xA6", kBullet = "\xE2\x80\xA2";

constexpr uint32_t packed(std::string_view word) {
  uint32_t value = 0;
  for (size_t i = 0; i < word.size(); ++i) value |= static_cast<uint32_t>(word[i]) << (8 * i);
  return value;
}

// Which stop word it is, as a bit; 0: none. Words of two to four bytes, compared as one number.
uint32_t stop_word_bit(std::string_view word) {
  constexpr uint32_t kWords[] = {packed("the"), packed("be"),   packed("to"),   packed("of"),
                                 packed("and"), packed("that"), packed("have"), packed("with")};
  const uint32_t value = packed(word);
  uint32_t bits = 0;
  for (uint32_t i = 0; i < 8; ++i) bits |= static_cast<uint32_t>(value == kWords[i]) << i;
  return bits;
}

int64_t count_of(std::string_view text, std::string_view piece) {
  int64_t count = 0;
  for (size_t at = text.find(piece); at != text.npos; at = text.find(piece, at + piece.size()))
    ++count;
  return count;
}

int64_t count_ellipses(const SplitText& split) {
  int64_t count = 0;
  if (split.count('.') >= 3) count += count_of(split.text(), "...");
  if (split.count('\xE2') > 0) count += count_of(split.text(), kEllipsis);
  return count;
}

bool ends_in_ellipsis(std::string_view line) {
  const std::string_view text = strip_right(line);
  return text.ends_with("...") || text.ends_with(kEllipsis);
}

bool begins_with_bullet(std::string_view line) {
  const std::string_view text = strip_left(line);
  return text.starts_with('-') || text.starts_with(kBullet);
}

void measure(const Measured& m, double* values) {
  double words = 0, chars = 0, with_letter = 0;
  uint32_t stops = 0;
  for (const Word& word : m.split.words()) {
    if (!(word.bits & kAllSymbols)) {
      ++words;
      chars += word.chars;
    }
    if (word.bits & kHasLetter) ++with_letter;
    if (word.size >= 2 && word.size <= 4) stops |= stop_word_bit(m.split.text_of(word));
  }
  double bullets = 0, ellipsis_lines = 0;
  for (const TextLine& line : m.split.lines()) {
    const std::string_view text = m.split.text_of(line);
    bullets += begins_with_bullet(text);
    ellipsis_lines += ends_in_ellipsis(text);
  }
  const auto all = static_cast<double>(m.split.words().size());
  const auto lines = static_cast<double>(m.split.lines().size());
  values[0] = words;
  values[1] = ratio(chars, words);
  values[2] = ratio(m.split.count('#'), all);
  values[3] = ratio(static_cast<double>(count_ellipses(m.split)), all);
  values[4] = ratio(bullets, lines);
  values[5] = ratio(ellipsis_lines, lines);
  values[6] = ratio(with_letter, all);
  values[7] = __builtin_popcount(stops);
}

}  // namespace

Filter gopher_quality_filter() {
  return {"gopher_quality", 1,      "length, symbols, bullets and stop words (Gopher)",
          kSignals,         kRules, measure};
}

}  // namespace lathe

#include <array>
#include <cstring>

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

constexpr char kEllipsis[] = "\xE2\x80\xA6";
constexpr std::string_view kBullet = "\xE2\x80\xA2";

constexpr uint32_t packed(std::string_view word) {
  uint32_t value = 0;
  for (size_t i = 0; i < word.size(); ++i) value |= static_cast<uint32_t>(word[i]) << (8 * i);
  return value;
}

// Stop words, each as one number at the place that a multiplication gives it, as words of two to
// four bytes are compared without a branch.
struct StopWords {
  uint32_t factor = 0;
  std::array<uint32_t, 16> words = {};

  constexpr uint32_t place_of(uint32_t word) const { return word * factor >> 28; }
  constexpr uint32_t bit_of(uint32_t word) const {
    const uint32_t place = place_of(word);
    return static_cast<uint32_t>(words[place] == word) << place;
  }
};

constexpr StopWords make_stop_words() {
  constexpr std::string_view kWords[] = {"the", "be", "to", "of", "and", "that", "have", "with"};
  StopWords stops;
  for (bool fits = false; !fits;) {
    stops.factor += 0x9E3779B2;
    stops.words = {};
    fits = true;
    for (const std::string_view word : kWords) {
      uint32_t& place = stops.words[stops.place_of(packed(word))];
      fits = fits && place == 0;
      place = packed(word);
    }
  }
  return stops;
}
constexpr StopWords kStopWords = make_stop_words();

// 0: it is none. Four bytes behind the beginning are readable.
uint32_t stop_word_bit(const char* word, uint32_t size) {
  uint32_t value;
  std::memcpy(&value, word, 4);
  value &= ~uint32_t{0} >> (32 - 8 * (size & 3 ? size & 3 : 4));
  return size <= 4 ? kStopWords.bit_of(value) : 0;
}

// How often the three bytes occur, none twice.
int64_t count_of(std::string_view text, const char (&piece)[4]) {
  int64_t count = 0;
  const char *p = text.data(), *const end = p + text.size();
  while (p + 3 <= end && (p = static_cast<const char*>(std::memchr(p, piece[0], end - p - 2)))) {
    const bool found = p[1] == piece[1] && p[2] == piece[2];
    count += found;
    p += found ? 3 : 1;
  }
  return count;
}

// A plain loop that the compiler turns into wide registers: most texts have none.
bool has_three_dots(std::string_view text) {
  const char* t = text.data();
  unsigned char found = 0;
  for (size_t i = 2; i < text.size(); ++i) {
    const auto is_dot = [t](size_t at) { return static_cast<unsigned char>(t[at] == '.'); };
    found |= is_dot(i) & is_dot(i - 1) & is_dot(i - 2);
  }
  return found;
}

int64_t count_ellipses(const SplitText& split) {
  int64_t count = 0;
  if (split.count('.') >= 3 && has_three_dots(split.text())) count += count_of(split.text(), "...");
  if (split.count('\xE2') > 0) count += count_of(split.text(), kEllipsis);
  return count;
}

void measure(const Measured& m, double* values) {
  uint64_t words = 0, chars = 0, with_letter = 0;
  uint32_t stops = 0;
  const char* text = m.split.text().data();
  for (const Word& word : m.split.words()) {
    const uint64_t counts = word.bits & kAllSymbols ? 0 : 1;
    words += counts;
    chars += counts * word.chars;
    with_letter += word.bits & kHasLetter ? 1 : 0;
    stops |= stop_word_bit(text + word.begin, word.size);
  }
  double bullets = 0, ellipsis_lines = 0;
  for (const TextLine& line : m.split.lines()) {
    const std::string_view inner = m.split.inner_of(line);
    bullets += inner.starts_with('-') || inner.starts_with(kBullet);
    ellipsis_lines += inner.ends_with("...") || inner.ends_with(kEllipsis);
  }
  const auto all = static_cast<double>(m.split.words().size());
  const auto lines = static_cast<double>(m.split.lines().size());
  values[0] = static_cast<double>(words);
  values[1] = ratio(static_cast<double>(chars), values[0]);
  values[2] = ratio(m.split.count('#'), all);
  values[3] = ratio(static_cast<double>(count_ellipses(m.split)), all);
  values[4] = ratio(bullets, lines);
  values[5] = ratio(ellipsis_lines, lines);
  values[6] = ratio(static_cast<double>(with_letter), all);
  values[7] = __builtin_popcount(stops);
}

}  // namespace

Filter gopher_quality_filter() {
  return {"gopher_quality", 1,      "length, symbols, bullets and stop words (Gopher)",
          kSignals,         kRules, measure};
}

}  // namespace lathe

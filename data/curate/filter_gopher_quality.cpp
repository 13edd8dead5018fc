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

// Stop words by their hashes, each at the place that its hash gives it, so that a word is compared
// with one without a branch.
struct StopWords {
  static constexpr std::string_view kWords[] = {"the", "be",   "to",   "of",
                                                "and", "that", "have", "with"};
  int shift = 0;
  std::array<uint64_t, 32> hashes = {};
  std::array<uint8_t, 32> bits = {};

  constexpr size_t place_of(uint64_t hash) const { return hash >> shift & 31; }
  constexpr uint32_t bit_of(uint64_t hash) const {
    const size_t place = place_of(hash);
    return hashes[place] == hash ? bits[place] : 0;
  }
};

constexpr uint64_t hash_of(std::string_view word) {
  return hash_eights(word.size(), [word](size_t at) {
    uint64_t eight = 0;
    for (size_t i = at; i < word.size(); ++i)
      eight |= static_cast<uint64_t>(static_cast<unsigned char>(word[i])) << (8 * (i - at));
    return eight;
  });
}

constexpr StopWords make_stop_words() {
  StopWords stops;
  for (bool fits = false; !fits;) {
    ++stops.shift;
    stops.hashes = {};
    fits = true;
    for (size_t i = 0; i < std::size(StopWords::kWords); ++i) {
      const uint64_t hash = hash_of(StopWords::kWords[i]);
      const size_t place = stops.place_of(hash);
      fits = fits && stops.hashes[place] == 0;
      stops.hashes[place] = hash;
      stops.bits[place] = static_cast<uint8_t>(1 << i);
    }
  }
  return stops;
}
constexpr StopWords kStopWords = make_stop_words();

// Of three full stops, none in two.
int64_t count_three_dots(std::string_view text) {
  int64_t count = 0;
  for (size_t at = 0; (at = text.find("...", at)) != text.npos; at += 3) ++count;
  return count;
}

void measure(const Measured& m, double* values) {
  uint64_t words = 0, chars = 0, with_letter = 0;
  uint32_t stops = 0;
  for (const Word& word : m.split.words()) {
    const uint32_t counts = word.bits & kAllSymbols ? 0 : 1;
    words += counts;
    chars += word.chars & -counts;
    with_letter += word.bits & kHasLetter;
    stops |= kStopWords.bit_of(word.hash);
  }
  double bullets = 0, ellipsis_lines = 0;
  for (const TextLine& line : m.split.lines()) {
    const std::string_view inner = m.split.inner_of(line);
    if (inner.empty()) continue;
    const char first = inner.front(), last = inner.back();
    bullets += first == '-' || (first == kBullet[0] && inner.starts_with(kBullet));
    if (last == '.' || last == kEllipsis[2])
      ellipsis_lines += inner.ends_with("...") || inner.ends_with(kEllipsis);
  }
  int64_t ellipses = m.split.counts().ellipses;
  if (m.split.counts().three_dots) ellipses += count_three_dots(m.split.text());
  const auto all = static_cast<double>(m.split.words().size());
  const auto lines = static_cast<double>(m.split.lines().size());
  values[0] = static_cast<double>(words);
  values[1] = ratio(static_cast<double>(chars), values[0]);
  values[2] = ratio(m.split.counts().hashes, all);
  values[3] = ratio(static_cast<double>(ellipses), all);
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

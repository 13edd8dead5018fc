#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

// Penedo et al. 2024 (FineWeb), with datatrove's thresholds.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"lines_with_text", "lines that are not blank"},
    {"punctuated_lines", "share of them that end a sentence"},
    {"short_lines", "share of them of at most 30 characters"},
    {"repeated_line_chars", "characters in lines that stood before, of all but newlines"},
    {"newlines_per_word", "newlines / words"}};

constexpr FilterRule kRules[] = {
    {"empty", "lines_with_text", FilterRule::kBelow, 1},
    {"line_punct_ratio", "punctuated_lines", FilterRule::kBelow, 0.12},
    {"short_line_ratio", "short_lines", FilterRule::kAbove, 0.67},
    {"char_dup_ratio", "repeated_line_chars", FilterRule::kAbove, 0.01},
    {"list_ratio", "newlines_per_word", FilterRule::kAbove, 0.3}};

constexpr uint32_t kShortLine = 30;

void measure(const Measured& m, double* values) {
  double lines = 0, punctuated = 0, brief = 0, repeated = 0;
  for (const TextLine& line : m.split.pieces()) {
    if (line.inner_begin == line.inner_end) continue;
    const std::string_view text = m.split.text_of(line);
    ++lines;
    if (last_character_bits(text) & kTerminalBit) ++punctuated;
    if (line.chars <= kShortLine) ++brief;
    if (line.repeated) repeated += line.chars;
  }
  const double newlines = m.split.counts().newlines;
  values[0] = lines;
  values[1] = ratio(punctuated, lines);
  values[2] = ratio(brief, lines);
  values[3] = ratio(repeated, static_cast<double>(m.split.chars()) - newlines);
  values[4] = ratio(newlines, static_cast<double>(m.split.words().size()));
}

}  // namespace

Filter fineweb_filter() {
  return {"fineweb", 1,      "line ends, short and repeated lines, lists (FineWeb)",
          kSignals,  kRules, measure};
}

}  // namespace lathe

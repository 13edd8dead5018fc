#include <algorithm>

#include "data/curate/filters.h"

// mC4: at least three lines of at least 200 characters.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {{"third_longest_line", "characters of the third longest line"}};
constexpr FilterRule kRules[] = {
    {"too_few_paragraphs", "third_longest_line", FilterRule::kBelow, 200}};

void measure(const Measured& m, double* values) {
  int64_t longest[3] = {0, 0, 0};
  for (const TextLine& line : m.split.pieces()) {
    int64_t chars = m.split.chars_of(m.split.text_of(line));
    for (int64_t& place : longest) {
      if (chars > place) std::swap(chars, place);
    }
  }
  values[0] = static_cast<double>(longest[2]);
}

}  // namespace

Filter c4_paragraph_filter() {
  return {"c4_paragraph", 1, "long lines (mC4)", kSignals, kRules, measure};
}

}  // namespace lathe

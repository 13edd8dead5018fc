#include "data/curate/c4_lines.h"
#include "data/curate/filters.h"

// Raffel et al. 2020 (C4), as datatrove reads the reference code.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {{"lorem_ipsum", "1: a line that would be kept says lorem ipsum"},
                               {"curly_bracket", "1: a line that would be kept holds a {"},
                               {"c4_sentences", "sentences in the lines that C4 keeps"},
                               {"c4_lines", "lines that C4 keeps"}};

constexpr FilterRule kRules[] = {{"lorem_ipsum", "lorem_ipsum", FilterRule::kAbove, 0},
                                 {"curly_bracket", "curly_bracket", FilterRule::kAbove, 0},
                                 {"too_few_sentences", "c4_sentences", FilterRule::kBelow, 5}};

void measure(const Measured& m, double* values) {
  const C4Lines lines = read_c4_lines(m);
  values[0] = lines.lorem_ipsum;
  values[1] = lines.curly_bracket;
  values[2] = static_cast<double>(lines.sentences);
  values[3] = static_cast<double>(lines.kept);
}

}  // namespace

Filter c4_filter() {
  return {"c4",     1,      "lines that are no sentences, boilerplate, code (C4)",
          kSignals, kRules, measure};
}

}  // namespace lathe

#include "data/curate/contamination.h"
#include "data/curate/filters.h"

// Evaluation items in training data: a document by one 13-gram, a record of instructions by the
// share of an item's words that its 8-grams cover.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"contaminated", "1: 13 words in a row of an evaluation item"},
    {"item_coverage", "largest share of an evaluation item that one record of instructions holds"}};

constexpr FilterRule kRules[] = {{"contaminated_span", "contaminated", FilterRule::kAbove, 0},
                                 {"contaminated_item", "item_coverage", FilterRule::kAtLeast, 0.5}};

void keep_span(const Measured& m, int64_t item, size_t first_word, size_t num_words) {
  m.findings.item = item;
  m.findings.span_begin = m.simple.source_begin(first_word);
  m.findings.span_end = m.simple.source_end(first_word + num_words - 1);
}

void measure(const Measured& m, double* values) {
  values[0] = values[1] = 0;
  const Contamination* items = m.resources.contamination;
  if (!items) return;
  if (m.document.answers.empty()) {
    const ContaminationHit hit = items->find_span(m.simple);
    if (hit.item < 0) return;
    values[0] = 1;
    keep_span(m, hit.item, hit.first_word, hit.num_words);
    return;
  }
  const Contamination::Coverage coverage = items->find_coverage(m.simple);
  values[1] = coverage.share;
  if (coverage.item >= 0) keep_span(m, coverage.item, coverage.first_word, coverage.num_words);
}

}  // namespace

Filter contamination_filter() {
  return {"contamination", 1, "evaluation items in the data", kSignals, kRules, measure};
}

}  // namespace lathe

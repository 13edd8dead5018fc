#include "data/curate/filters.h"
#include "data/curate/text_classifier.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"quality", "probability by the quality_classifier that it is a good text; 1 where there is "
                "none"}};

// Where good and bad are equally likely to the classifier. DCLM takes 0.018112 for its own.
constexpr FilterRule kRules[] = {{"low_quality", "quality", FilterRule::kBelow, 0.5}};

void measure(const Measured& m, double* values) {
  const Resources& given = m.resources;
  values[0] =
      given.quality ? given.quality->probability(m.document.text, given.quality_label) : 1;
}

}  // namespace

Filter quality_filter() {
  return {"quality", 1,      "what a fastText classifier takes for bad, trained here or given",
          kSignals,  kRules, measure};
}

}  // namespace lathe

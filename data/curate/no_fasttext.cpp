#include <stdexcept>

#include "data/curate/text_classifier.h"

namespace lathe {
namespace {

[[noreturn]] void refuse() {
  throw std::invalid_argument(
      "curate: a fastText model is asked for, but this build has no fastText; install "
      "libfasttext-dev and build again, or leave `quality_classifier` and `language_model` out");
}

}  // namespace

struct TextClassifier::Parts {};

TextClassifier::TextClassifier(const std::string&) { refuse(); }
TextClassifier::~TextClassifier() = default;
const std::vector<std::string>& TextClassifier::labels() const { refuse(); }
TextClassifier::Guess TextClassifier::best(std::string_view) const { refuse(); }
double TextClassifier::probability(std::string_view, const std::string&) const { refuse(); }

void train_classifier(const std::vector<LabelledText>&, const ClassifierTraining&,
                      const std::string&) {
  refuse();
}

}  // namespace lathe

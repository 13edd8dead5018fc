#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// Linear classifiers of texts over words and word n-grams, in fastText's files (.bin).
namespace lathe {

struct LabelledText {
  std::string label, text;
};

struct ClassifierTraining {
  int word_ngrams = 2, dim = 32, epoch = 10, bucket = 200'000;  // fastText's names
  double lr = 0.5;
};

// Words are what stands between white space. A text is one line to fastText: line ends in it count
// as blanks, and what would be a label or the end of the line to it is not. Thread-safe.
class TextClassifier {
 public:
  // Throws std::invalid_argument for a file that is no model, or no classifier, and in a build
  // without fastText.
  explicit TextClassifier(const std::string& path);
  ~TextClassifier();

  struct Guess {
    std::string label;  // without __label__; empty: the text has no word that the model knows
    double probability = 0;
  };
  Guess best(std::string_view text) const;
  // 0 for a text without a word that it knows. The label must be one of labels().
  double probability(std::string_view text, const std::string& label) const;
  const std::vector<std::string>& labels() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// By one thread with a fixed seed, so that the same texts in the same order give the same bytes.
// Memory: 120 MB and the model's, 4 x dim bytes for each word and bucket. Writes path when it is
// complete.
void train_classifier(const std::vector<LabelledText>& texts, const ClassifierTraining& training,
                      const std::string& path);

}  // namespace lathe

#include <fasttext/fasttext.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "data/curate/text_classifier.h"
#include "data/shards/file.h"

namespace lathe {
namespace {

constexpr std::string_view kLabel = "__label__", kLineEnd = "</s>";

void part(std::string& text, std::string_view word) {
  for (size_t at = 0; (at = text.find(word, at)) != text.npos; at += word.size() + 1)
    text.insert(at + 2, 1, ' ');
}

std::string line_of(std::string_view text) {
  std::string line(text);
  for (char& c : line) c = c == '\n' || c == '\r' || c == '\0' ? ' ' : c;
  part(line, kLabel);
  part(line, kLineEnd);
  return line += '\n';
}

std::string name_of(std::string_view label) {
  return std::string(label.starts_with(kLabel) ? label.substr(kLabel.size()) : label);
}

}  // namespace

struct TextClassifier::Parts {
  fasttext::FastText model;
  std::vector<std::string> labels;

  std::vector<std::pair<float, std::string>> guess(std::string_view text, int32_t most) const {
    std::istringstream line(line_of(text));
    std::vector<std::pair<float, std::string>> guesses;
    model.predictLine(line, guesses, most, 0);
    return guesses;
  }
};

TextClassifier::TextClassifier(const std::string& path) : parts_(std::make_unique<Parts>()) {
  const auto refuse = [&](const std::string& what) {
    return std::invalid_argument(path + ": " + what + "; expected a fastText classifier (.bin)");
  };
  try {
    parts_->model.loadModel(path);
  } catch (const std::exception& fault) {
    throw refuse(std::filesystem::exists(path) ? "is no model of fastText" : "there is no such file");
  }
  if (parts_->model.getArgs().model != fasttext::model_name::sup)
    throw refuse("holds word vectors");
  const auto dictionary = parts_->model.getDictionary();
  for (int32_t i = 0; i < dictionary->nlabels(); ++i)
    parts_->labels.push_back(name_of(dictionary->getLabel(i)));
  std::sort(parts_->labels.begin(), parts_->labels.end());
}

TextClassifier::~TextClassifier() = default;

const std::vector<std::string>& TextClassifier::labels() const { return parts_->labels; }

TextClassifier::Guess TextClassifier::best(std::string_view text) const {
  const auto guesses = parts_->guess(text, 1);
  if (guesses.empty()) return {};
  return {name_of(guesses[0].second), std::min(1.0, static_cast<double>(guesses[0].first))};
}

double TextClassifier::probability(std::string_view text, const std::string& label) const {
  for (const auto& [probability, name] :
       parts_->guess(text, static_cast<int32_t>(parts_->labels.size()))) {
    // fastText adds a little before it takes logarithms.
    if (name_of(name) == label) return std::min(1.0, static_cast<double>(probability));
  }
  return 0;
}

void train_classifier(const std::vector<LabelledText>& texts, const ClassifierTraining& training,
                      const std::string& path) {
  const std::string input = temporary_name(path + ".txt"), output = temporary_name(path);
  {
    std::ofstream file(input, std::ios::binary);
    for (const LabelledText& one : texts) file << kLabel << one.label << ' ' << line_of(one.text);
    if (!file.flush()) throw std::runtime_error(input + ": can not be written");
  }
  fasttext::Args args;
  args.input = input;
  args.model = fasttext::model_name::sup;
  args.loss = fasttext::loss_name::softmax;
  args.minCount = 1;
  args.minn = args.maxn = 0;
  args.wordNgrams = training.word_ngrams;
  args.dim = training.dim;
  args.epoch = training.epoch;
  args.bucket = training.bucket;
  args.lr = training.lr;
  args.thread = 1;
  args.seed = 0;
  args.verbose = 0;
  try {
    fasttext::FastText model;
    model.train(args);
    model.saveModel(output);
  } catch (...) {
    std::filesystem::remove(input);
    throw;
  }
  std::filesystem::remove(input);
  publish(output, path);
}

}  // namespace lathe

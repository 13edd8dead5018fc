#include <algorithm>

#include "data/curate/filters.h"
#include "data/curate/language.h"
#include "data/curate/text_classifier.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"language_score", "share of the text in the language it is mostly in; 1 where none is wanted"},
    {"language_wanted", "1: that language is one of those wanted"},
    {"language_mismatch", "1: the last answer is in another language than what it answers"}};

// FineWeb's threshold, meant there for a classifier's probability.
constexpr FilterRule kRules[] = {{"language_other", "language_wanted", FilterRule::kBelow, 1},
                                 {"language_score", "language_score", FilterRule::kBelow, 0.65},
                                 {"language_mismatch", "language_mismatch", FilterRule::kAbove, 0}};

// Shorter texts are guessed badly.
constexpr size_t kFewestBytes = 60;

LanguageGuess guess(const Resources& given, std::string_view text) {
  if (!given.language_model) return guess_language(text);
  const TextClassifier::Guess best = given.language_model->best(text);
  if (best.label.empty()) return {};
  return {best.label, best.probability};
}

bool answers_in_another(const Resources& given, const Conversation& chat) {
  const Message *question = nullptr, *answer = nullptr;
  for (const Message& message : chat.messages) {
    if (message.role == "user") question = &message;
    if (message.role == "assistant") answer = &message;
  }
  if (!question || !answer || question->content.size() < kFewestBytes ||
      answer->content.size() < kFewestBytes)
    return false;
  const LanguageGuess asked = guess(given, question->content);
  const LanguageGuess said = guess(given, answer->content);
  return asked.code != "un" && said.code != "un" && asked.code != said.code;
}

void measure(const Measured& m, double* values) {
  values[0] = values[1] = 1;
  values[2] = 0;
  const auto& wanted = m.resources.languages;
  if (wanted.empty()) return;
  const LanguageGuess found = guess(m.resources, m.document.text);
  m.findings.language = found.code;
  values[0] = found.score;
  values[1] = std::find(wanted.begin(), wanted.end(), found.code) != wanted.end();
  if (m.document.chat) values[2] = answers_in_another(m.resources, *m.document.chat);
}

}  // namespace

Filter language_filter() {
  return {"language", 1, "the language, where some are wanted", kSignals, kRules, measure};
}

}  // namespace lathe

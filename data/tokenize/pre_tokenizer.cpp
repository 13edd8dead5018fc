#include "data/tokenize/pre_tokenizer.h"

#include "data/tokenize/patterns.h"
#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

using Kind = PreTokenizerStep::Kind;
using Prepend = PreTokenizerStep::Prepend;

struct Cut {
  Range range;
  bool match;
};

// Joins the cuts of one word as the behavior says, and appends what is left of them.
void join(const std::vector<Cut>& cuts, SplitBehavior behavior, std::vector<Range>& out) {
  std::vector<Range> joined;
  const auto extend_or_add = [&](bool extend, const Range& range) {
    if (extend && !joined.empty()) {
      joined.back().end = range.end;
    } else {
      joined.push_back(range);
    }
  };
  for (size_t i = 0; i < cuts.size(); ++i) {
    const bool previous_match = i > 0 && cuts[i - 1].match;
    switch (behavior) {
      case SplitBehavior::kIsolated:
        joined.push_back(cuts[i].range);
        break;
      case SplitBehavior::kRemoved:
        if (!cuts[i].match) joined.push_back(cuts[i].range);
        break;
      case SplitBehavior::kContiguous:
        extend_or_add(i > 0 && previous_match == cuts[i].match, cuts[i].range);
        break;
      case SplitBehavior::kMergedWithPrevious:
        extend_or_add(cuts[i].match && !previous_match, cuts[i].range);
        break;
      // Seen from the right: a match goes to what follows it, unless that is a match too.
      case SplitBehavior::kMergedWithNext:
        extend_or_add(previous_match && !cuts[i].match, cuts[i].range);
        break;
    }
  }
  for (const Range& range : joined) {
    if (range.end > range.begin) out.push_back(range);
  }
}

// Cuts every word at the matches that find(word, found) reports.
template <typename Find>
void split(Words& words, SplitBehavior behavior, bool invert, Find find) {
  std::vector<Range> result;
  std::vector<Cut> cuts;
  for (const Range& word : words.words) {
    cuts.clear();
    size_t done = word.begin;
    const auto found = [&](size_t begin, size_t end) {
      if (done < word.begin + begin) cuts.push_back({{done, word.begin + begin}, invert});
      cuts.push_back({{word.begin + begin, word.begin + end}, !invert});
      done = word.begin + end;
    };
    find(std::string_view(words.text.text).substr(word.begin, word.end - word.begin), found);
    if (done < word.end) cuts.push_back({{done, word.end}, invert});
    join(cuts, behavior, result);
  }
  words.words = std::move(result);
}

template <typename Is>
auto each_character(Is is) {
  return [is](std::string_view text, const auto& found) {
    for (const char* p = text.data(); p < text.data() + text.size();) {
      const char* start = p;
      if (is(next_code_point(p))) found(start - text.data(), p - text.data());
    }
  };
}

auto each_string(const std::string& pattern) {
  return [&pattern](std::string_view text, const auto& found) {
    if (pattern.empty()) return;
    for (size_t at = text.find(pattern); at != std::string::npos;
         at = text.find(pattern, at + pattern.size())) {
      found(at, at + pattern.size());
    }
  };
}

auto each_match(const Regex& regex) {
  return [&regex](std::string_view text, const auto& found) { regex.for_each_match(text, found); };
}

// Rewrites every word: puts `prefix` before it where wanted(word), and `to` for `from` in it.
template <typename Wanted>
void rewrite_words(Words& words, std::string_view prefix, Wanted wanted, std::string_view from,
                   std::string_view to) {
  const std::string& text = words.text.text;
  Rewrite rewrite(words.text);
  for (Range& word : words.words) {
    const size_t begin = rewrite.size();
    if (wanted(std::string_view(text).substr(word.begin, word.end - word.begin), word.begin)) {
      rewrite.insert(word.begin, prefix);
    }
    size_t done = word.begin;
    for (size_t at; !from.empty() && (at = text.find(from, done)) < word.end;
         done = at + from.size()) {
      rewrite.keep(done, at);
      rewrite.replace(at, at + from.size(), to);
    }
    rewrite.keep(done, word.end);
    word = {begin, rewrite.size()};
  }
  words.text = rewrite.take();
}

void metaspace(const PreTokenizerStep& step, bool at_start, Words& words) {
  const auto wanted = [&](std::string_view word, size_t begin) {
    const bool starts = word.starts_with(step.pattern) || word.starts_with(' ');
    return !starts && (step.prepend == Prepend::kAlways ||
                       (step.prepend == Prepend::kFirst && at_start && begin == 0));
  };
  rewrite_words(words, step.pattern, wanted, " ", step.pattern);
  if (step.split) split(words, SplitBehavior::kMergedWithNext, false, each_string(step.pattern));
}

}  // namespace

PreTokenizer::PreTokenizer(const std::vector<PreTokenizerStep>& steps) : steps_(steps) {
  for (const PreTokenizerStep& step : steps_) {
    std::unique_ptr<Regex> regex;
    if (step.kind == Kind::kSplitRegex) regex = std::make_unique<Regex>(step.pattern);
    if (step.kind == Kind::kByteLevel && step.use_regex)
      regex = std::make_unique<Regex>(kGpt2Pattern);
    if (step.kind == Kind::kWhitespace) regex = std::make_unique<Regex>(R"(\w+|[^\w\s]+)");
    regexes_.push_back(std::move(regex));
  }
}

void PreTokenizer::apply(const PreTokenizerStep& step, const Regex* regex, bool at_start,
                         Words& words) const {
  switch (step.kind) {
    case Kind::kSplit:
      split(words, step.behavior, step.invert, each_string(step.pattern));
      break;
    case Kind::kSplitRegex:
      split(words, step.behavior, step.invert, each_match(*regex));
      break;
    case Kind::kWhitespace:
      split(words, SplitBehavior::kRemoved, true, each_match(*regex));
      break;
    case Kind::kWhitespaceSplit:
      split(words, SplitBehavior::kRemoved, false, each_character(is_space));
      break;
    case Kind::kPunctuation:
      split(words, step.behavior, false, each_character(is_punctuation));
      break;
    case Kind::kMetaspace:
      metaspace(step, at_start, words);
      break;
    case Kind::kDigits:
      split(words, step.individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
            false, each_character(is_number));
      break;
    case Kind::kByteLevel:
      if (step.prepend == Prepend::kAlways) {
        rewrite_words(
            words, " ", [](std::string_view word, size_t) { return !word.starts_with(' '); }, "",
            "");
      }
      if (regex) split(words, SplitBehavior::kIsolated, false, each_match(*regex));
      break;
  }
}

Words PreTokenizer::operator()(NormalizedText text, bool at_start) const {
  Words words{std::move(text), {}};
  if (!words.text.text.empty()) words.words.push_back({0, words.text.text.size()});
  for (size_t i = 0; i < steps_.size(); ++i) apply(steps_[i], regexes_[i].get(), at_start, words);
  return words;
}

}  // namespace lathe

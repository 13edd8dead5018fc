#include "data/tokenize/normalizer.h"

#include "data/tokenize/unicode.h"
#include "data/tokenize/unicode_forms.h"

namespace lathe {
namespace {

using Kind = NormalizerStep::Kind;

NormalizedText strip(const NormalizedText& from, bool left, bool right) {
  const char* first = from.text.data();
  const char* last = first + from.text.size();
  const char* const base = first;
  for (const char* p = first; left && p < last && is_space(next_code_point(p));) first = p;
  for (const char* p = last; right && p > first && is_space(previous_code_point(p));) last = p;
  Rewrite rewrite(from);
  rewrite.replace(0, first - base, "");
  rewrite.keep(first - base, last - base);
  return rewrite.take();
}

NormalizedText prepend(const NormalizedText& from, const std::string& content) {
  Rewrite rewrite(from);
  if (!from.text.empty()) rewrite.insert(0, content);
  rewrite.keep(0, from.text.size());
  return rewrite.take();
}

NormalizedText replace(const NormalizedText& from, const std::string& pattern,
                       const std::string& content) {
  Rewrite rewrite(from);
  size_t done = 0;
  for (size_t at; (at = from.text.find(pattern, done)) != std::string::npos;
       done = at + pattern.size()) {
    rewrite.keep(done, at);
    rewrite.replace(at, at + pattern.size(), content);
  }
  rewrite.keep(done, from.text.size());
  return rewrite.take();
}

NormalizedText replace(const NormalizedText& from, const Regex& regex, const std::string& content) {
  Rewrite rewrite(from);
  size_t done = 0;
  regex.for_each_match(from.text, [&](size_t begin, size_t end) {
    rewrite.keep(done, begin);
    rewrite.replace(begin, end, content);
    done = end;
  });
  rewrite.keep(done, from.text.size());
  return rewrite.take();
}

}  // namespace

Normalizer::Normalizer(const std::vector<NormalizerStep>& steps) : steps_(steps) {
  for (const NormalizerStep& step : steps_) {
    if (step.kind == Kind::kReplaceRegex) regexes_.emplace_back(step.pattern);
  }
}

NormalizedText Normalizer::operator()(NormalizedText text) const {
  size_t regex = 0;
  for (const NormalizerStep& step : steps_) {
    switch (step.kind) {
      case Kind::kNfc:
        text = to_form(std::move(text), UnicodeForm::kNfc);
        break;
      case Kind::kNfd:
        text = to_form(std::move(text), UnicodeForm::kNfd);
        break;
      case Kind::kNfkc:
        text = to_form(std::move(text), UnicodeForm::kNfkc);
        break;
      case Kind::kNfkd:
        text = to_form(std::move(text), UnicodeForm::kNfkd);
        break;
      case Kind::kLowercase:
        text = to_lower_case(std::move(text));
        break;
      case Kind::kStrip:
        text = strip(text, step.left, step.right);
        break;
      case Kind::kStripAccents:
        text = without_marks(std::move(text));
        break;
      case Kind::kPrepend:
        text = prepend(text, step.content);
        break;
      case Kind::kReplace:
        text = replace(text, step.pattern, step.content);
        break;
      case Kind::kReplaceRegex:
        text = replace(text, regexes_[regex++], step.content);
        break;
    }
  }
  return text;
}

std::string Normalizer::operator()(std::string_view text) const {
  return (*this)(NormalizedText::of(text, 0, false)).text;
}

}  // namespace lathe

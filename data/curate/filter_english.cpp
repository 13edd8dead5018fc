#include <algorithm>

#include "data/curate/c4_lines.h"
#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

// NeMo Curator's heuristics for English (heuristic_filter_en.yaml), those that the others do not
// have already.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"characters", "code points"},
    {"non_alphanumeric", "share of characters that are neither letter nor digit nor blank"},
    {"digits", "share of characters that are digits"},
    {"white_space", "share of characters that are white space"},
    {"parentheses", "share of characters that are brackets"},
    {"urls", "share of characters in addresses"},
    {"longest_word", "characters of the longest word"},
    {"unpunctuated_lines", "share of lines that do not end a sentence"},
    {"unique_lines", "share of lines that are the first of their kind"},
    {"boilerplate", "share of lines with a phrase of privacy policies"}};

constexpr FilterRule kRules[] = {
    {"en_non_alphanumeric", "non_alphanumeric", FilterRule::kAbove, 0.25},
    {"en_digits", "digits", FilterRule::kAbove, 0.15},
    {"en_urls", "urls", FilterRule::kAbove, 0.2},
    {"en_white_space", "white_space", FilterRule::kAbove, 0.25},
    {"en_parentheses", "parentheses", FilterRule::kAbove, 0.1},
    {"en_boilerplate", "boilerplate", FilterRule::kAbove, 0.4},
    {"en_unique_lines", "unique_lines", FilterRule::kBelow, 0.7},
    {"en_unpunctuated", "unpunctuated_lines", FilterRule::kAbove, 0.85},
    {"en_longest_word", "longest_word", FilterRule::kAbove, 1000}};

struct Classes {
  double spaces = 0, digits = 0, letters = 0, brackets = 0, others = 0;
};

Classes count_classes(const SplitText& split) {
  Classes classes;
  const TextCounts& counts = split.counts();
  classes.spaces = counts.spaces;
  classes.letters = counts.letters;
  classes.digits = counts.digits;
  classes.brackets = counts.brackets;
  classes.others = static_cast<double>(split.text().size()) - counts.not_ascii - counts.spaces -
                   counts.letters - counts.digits;
  if (split.is_ascii()) return classes;
  split.each_wide([&classes](const char* p) {
    const uint8_t bits = wide_character_bits(next_code_point(p));
    (bits & kLetterBit ? classes.letters : bits & kSpaceBit ? classes.spaces : classes.others) += 1;
  });
  return classes;
}

double url_chars(const SplitText& split) {
  double chars = 0;
  if (!split.counts().addresses) return 0;
  for (const Word& word : split.words()) {
    if ((word.bits & (kAlone | kBetween)) || word.size < 8) continue;
    const std::string_view text = split.text_of(word);
    if (text[0] != 'h' && text[0] != 'w') continue;
    if (text.starts_with("http://") || text.starts_with("https://") || text.starts_with("www."))
      chars += word.chars;
  }
  return chars;
}

bool ends_sentence(std::string_view line) {
  const char last = line.back();
  return last == '"' || last == '\'' || (last_character_bits(line) & kTerminalBit);
}

bool is_boilerplate(std::string_view line, std::string& lower) {
  lower.assign(line);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return may_hold_phrases(lower) && holds_policy(lower);
}

void measure(const Measured& m, double* values) {
  const auto chars = static_cast<double>(m.split.chars());
  const Classes classes = count_classes(m.split);
  uint32_t longest = 0;
  for (const Word& word : m.split.words()) longest = std::max(longest, word.chars);
  double lines = 0, open = 0, first = 0, boilerplate = 0;
  const bool phrases = m.split.counts().phrases;
  const bool bare = m.split.lines_are_bare();
  if (!bare) m.work.ngrams.start(m.split.lines().size());
  for (const TextLine& line : m.split.lines()) {
    const std::string_view text = m.split.inner_of(line);
    if (text.empty()) continue;
    ++lines;
    if (!ends_sentence(text)) ++open;
    const bool repeated = bare ? line.repeated : m.work.ngrams.add(hash_line(text), 0).count > 1;
    if (!repeated) ++first;
    if (phrases && is_boilerplate(text, m.work.text)) ++boilerplate;
  }
  values[0] = chars;
  values[1] = ratio(classes.others, chars);
  values[2] = ratio(classes.digits, chars);
  values[3] = ratio(classes.spaces, chars);
  values[4] = ratio(classes.brackets, chars);
  values[5] = ratio(url_chars(m.split), chars);
  values[6] = longest;
  values[7] = ratio(open, lines);
  values[8] = lines == 0 ? 1 : first / lines;
  values[9] = ratio(boilerplate, lines);
}

}  // namespace

Filter english_filter() {
  return {"english", 1,      "character classes, addresses, line ends (NeMo Curator)",
          kSignals,  kRules, measure};
}

}  // namespace lathe

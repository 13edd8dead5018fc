#include "data/curate/dclm_lines.h"
#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"dclm_removed_words", "share of words in lines that DCLM's line rules drop"}};
constexpr FilterRule kRules[] = {
    {"dclm_too_much_removed", "dclm_removed_words", FilterRule::kAbove, 0.05}};

constexpr double kMostUpper = 0.5, kMostDigits = 0.999999;
constexpr uint32_t kFewestWords = 2, kMostButtonWords = 10;
constexpr std::string_view kCounted[] = {
    "likes",     "shares",    "comments", "retweets",  "reposts", "quotes", "bookmarks", "upvotes",
    "downvotes", "downloads", "views",    "followers", "like",    "share",  "comment"};

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (byte_bits(c) & kUpperBit) c = static_cast<char>(c | 0x20);
  }
  return small;
}

// "12", "1.2k likes", "3 Comments": a number and what it counts.
bool is_counter(std::string_view line) {
  size_t i = 0;
  while (i < line.size() && ((byte_bits(line[i]) & kDigitBit) || line[i] == '.' || line[i] == ','))
    ++i;
  if (i == 0) return false;
  if (i < line.size() && (line[i] == 'k' || line[i] == 'K' || line[i] == 'm' || line[i] == 'M'))
    ++i;
  const std::string_view rest = strip(line.substr(i));
  if (rest.empty() || rest.size() > 12) return rest.empty();
  const std::string small = lower(rest);
  for (const std::string_view counted : kCounted) {
    if (small == counted) return true;
  }
  return false;
}

// Whether any of is_button's phrases may be there: no is certain. Looks for letters of "s in c",
// "more." and "n-in", also just behind the end of the line. A plain loop that the compiler turns
// into wide registers.
bool may_be_button(std::string_view line) {
  const char* t = line.data();
  unsigned char found = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const auto is = [&](size_t at, char c) {
      return static_cast<unsigned char>((t[i + at] | 0x20) == c);
    };
    found |= (is(0, 's') & is(2, 'i') & is(3, 'n') & is(5, 'c')) |
             (is(0, 'm') & is(1, 'o') & is(2, 'r') & is(4, '.')) |
             (is(0, 'n') & is(1, '-') & is(2, 'i') & is(3, 'n'));
  }
  return found;
}

bool is_button(std::string_view line) {
  if (!may_be_button(line)) return false;
  const std::string small = lower(line);
  return small.find("items in cart") != small.npos || small.find("read more...") != small.npos ||
         small.find("sign-in") != small.npos;
}

void measure(const Measured& m, double* values) {
  double removed = 0;
  for (const TextLine& line : m.split.lines()) {
    if (line.first_word < line.end_word && is_dclm_noise(m.split, line))
      removed += line.end_word - line.first_word;
  }
  values[0] = ratio(removed, static_cast<double>(m.split.words().size()));
}

}  // namespace

bool is_dclm_noise(const SplitText& split, const TextLine& line) {
  const std::string_view text = split.inner_of(line);
  if (text.empty()) return false;
  const uint32_t words = line.end_word - line.first_word;
  if (words < kFewestWords) return true;
  const bool bare = text.size() == line.end - line.begin;
  const auto chars = static_cast<double>(bare ? line.chars : split.chars_of(text));
  if (line.upper / chars > kMostUpper || line.digits / chars > kMostDigits) return true;
  if (words > kMostButtonWords) return false;
  return ((byte_bits(text[0]) & kDigitBit) && is_counter(text)) || is_button(text);
}

std::string dclm_text(const Measured& m) {
  std::string text;
  for (const TextLine& line : m.split.lines()) {
    if (is_dclm_noise(m.split, line)) continue;
    if (!text.empty()) text.push_back('\n');
    text += m.split.text_of(line);
  }
  return text;
}

Filter dclm_filter() {
  return {"dclm",   1,      "noise lines and how much they are (DCLM-Baseline)",
          kSignals, kRules, measure};
}

}  // namespace lathe

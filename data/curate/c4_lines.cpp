#include "data/curate/c4_lines.h"

#include <array>
#include <span>

#include "data/curate/text_pieces.h"

namespace lathe {
namespace {

constexpr int64_t kLongestWord = 1000;
constexpr int64_t kFewestWords = 3;
constexpr std::string_view kPolicies[] = {"terms of use", "privacy policy", "cookie policy",
                                          "uses cookies", "use of cookies", "use cookies"};

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return lower;
}

// [12], [], [edit] and [citation needed] go.
std::string without_citations(std::string_view line) {
  std::string kept;
  for (size_t i = 0; i < line.size();) {
    size_t size = 0;
    if (line[i] == '[') {
      size_t close = i + 1;
      while (close < line.size() && (byte_bits(line[close]) & kDigitBit)) ++close;
      if (close < line.size() && line[close] == ']') size = close + 1 - i;
      for (const std::string_view mark : {"[edit]", "[citation needed]"}) {
        if (line.substr(i).starts_with(mark)) size = mark.size();
      }
    }
    if (size == 0) kept.push_back(line[i]);
    i += size == 0 ? 1 : size;
  }
  return kept;
}

struct LineCount {
  int64_t chunks = 0;     // between white space, of which the words are pieces
  int64_t sentences = 0;  // one ends with a run of end marks; the next begins with no punctuation
  bool too_long = false;  // a chunk is
};

LineCount count_words(std::span<const Word> words, uint32_t first, uint32_t end) {
  LineCount count;
  count.sentences = first == end ? 0 : 1;
  uint32_t behind = ~uint32_t{0};
  int64_t chars = 0;
  bool ended = false;
  for (uint32_t i = first; i < end; ++i) {
    const Word& word = words[i];
    const bool begins = word.begin != behind;
    count.chunks += begins;
    chars = word.chars + (begins ? 0 : chars);
    count.too_long |= chars > kLongestWord;
    behind = word.begin + word.size;
    const bool ends = word.bits & kSentenceEnd, marks = word.bits & kAllMarks;
    const bool next = ended & !ends & !marks;
    count.sentences += next;
    ended = ends | (ended & !next);
  }
  return count;
}

bool ends_sentence(std::string_view line) {
  if (line.empty() || line.ends_with("...")) return false;
  const char c = line.back();
  return c == '.' || c == '?' || c == '!' || c == '"' || c == '\'';
}

}  // namespace

bool holds_policy(std::string_view lower) {
  for (const std::string_view policy : kPolicies) {
    if (lower.find(policy) != lower.npos) return true;
  }
  return false;
}

// Looks for most letters of "m ip", "vasc", "okie", "s of u" and "vacy". A plain loop over bytes
// that the compiler turns into wide registers.
bool may_hold_phrases(std::string_view text) {
  constexpr size_t kLongest = 6;
  const char* t = text.data();
  unsigned char found = 0;
  const size_t end = text.size() < kLongest ? 0 : text.size() - kLongest;
  for (size_t i = 0; i < end; ++i) {
    const auto is = [&](size_t at, char c) { return static_cast<unsigned char>(t[i + at] == c); };
    found |= (is(0, 'm') & is(2, 'i') & is(3, 'p')) | (is(0, 'v') & is(2, 's') & is(3, 'c')) |
             (is(0, 'o') & is(1, 'k') & is(2, 'i') & is(3, 'e')) |
             (is(0, 's') & is(2, 'o') & is(3, 'f') & is(5, 'u')) |
             (is(0, 'v') & is(2, 'c') & is(3, 'y'));
  }
  if (found) return true;
  // The last bytes one by one.
  const std::string_view rest = text.substr(end);
  for (const std::string_view piece : {"m ip", "vasc", "okie", "s of u", "vacy"}) {
    if (rest.find(piece) != rest.npos) return true;
  }
  return false;
}

C4Lines read_c4_lines(const Measured& m, const std::function<void(std::string_view)>& f) {
  C4Lines found;
  const bool may_hold = m.split.counts().phrases;
  const bool citations = m.split.counts().open_square > 0;
  const bool brackets = m.split.counts().open_curly > 0;
  std::string changed;
  for (const TextLine& piece : m.split.lines()) {
    std::string_view line = m.split.inner_of(piece);
    const bool cited = citations && line.find('[') != line.npos;
    if (!cited && !ends_sentence(line)) continue;
    const LineCount count = count_words(m.split.words(), piece.first_word, piece.end_word);
    if (count.too_long) continue;
    if (cited) {
      changed = without_citations(line);
      line = changed;
    }
    if (!ends_sentence(line) || count.chunks < kFewestWords) continue;
    const std::string lower = may_hold ? lower_ascii(line) : "";
    const bool phrases = may_hold && may_hold_phrases(lower);
    if (phrases && lower.find("lorem ipsum") != lower.npos) {
      found.lorem_ipsum = true;
      return found;
    }
    if (phrases && lower.find("javascript") != lower.npos) continue;
    if (brackets && line.find('{') != line.npos) {
      found.curly_bracket = true;
      return found;
    }
    if (phrases && holds_policy(lower)) continue;
    if (cited) {
      m.work.split.split(line);
      const std::span<const Word> words = m.work.split.words();
      found.sentences += count_words(words, 0, static_cast<uint32_t>(words.size())).sentences;
    } else {
      found.sentences += count.sentences;
    }
    ++found.kept;
    if (f) f(line);
  }
  return found;
}

std::string c4_text(const Measured& m) {
  std::string text;
  read_c4_lines(m, [&](std::string_view line) {
    if (!text.empty()) text.push_back('\n');
    text += line;
  });
  return std::string(strip(text));
}

}  // namespace lathe

#include "data/curate/c4_lines.h"

#include <array>

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

struct ChunkCount {
  int64_t chunks = 0;
  bool too_long = false;
};

// Words between white space, of which the words of the text are pieces.
ChunkCount count_chunks(const SplitText& split, const TextLine& line) {
  ChunkCount count;
  uint32_t end = 0;
  int64_t chars = 0;
  for (uint32_t i = line.first_word; i < line.end_word; ++i) {
    const Word& word = split.words()[i];
    if (i == line.first_word || word.begin != end) {
      ++count.chunks;
      chars = 0;
    }
    chars += word.chars;
    count.too_long |= chars > kLongestWord;
    end = word.begin + word.size;
  }
  return count;
}

// A sentence ends with a run of end marks and begins with what is no punctuation.
int64_t count_sentences(const std::vector<Word>& words, uint32_t first, uint32_t end) {
  if (first == end) return 0;
  int64_t sentences = 1;
  bool ended = false;
  for (uint32_t i = first; i < end; ++i) {
    if (words[i].bits & kSentenceEnd) {
      ended = true;
    } else if (ended && !(words[i].bits & kAllMarks)) {
      ++sentences;
      ended = false;
    }
  }
  return sentences;
}

bool ends_sentence(std::string_view line) {
  if (line.empty() || line.ends_with("...")) return false;
  const char c = line.back();
  return c == '.' || c == '?' || c == '!' || c == '"' || c == '\'';
}

bool holds_policy(std::string_view lower) {
  for (const std::string_view policy : kPolicies) {
    if (lower.find(policy) != lower.npos) return true;
  }
  return false;
}

}  // namespace

// Whether any of the phrases may be there: all of them keep their letters in the simple text. A
// plain loop over bytes that the compiler turns into wide registers.
bool may_hold_phrases(std::string_view text) {
  constexpr size_t kLongest = 14;
  const char* t = text.data();
  unsigned char found = 0;
  const size_t end = text.size() < kLongest ? 0 : text.size() - kLongest;
  for (size_t i = 0; i < end; ++i) {
    found |= static_cast<unsigned char>((t[i] == 'l') & (t[i + 3] == 'e') & (t[i + 6] == 'i') &
                                        (t[i + 8] == 's'));
    found |= static_cast<unsigned char>((t[i] == 'j') & (t[i + 2] == 'v') & (t[i + 4] == 's') &
                                        (t[i + 8] == 'p'));
    found |= static_cast<unsigned char>((t[i] == 't') & (t[i + 3] == 'm') & (t[i + 6] == 'o') &
                                        (t[i + 9] == 'u'));
    found |= static_cast<unsigned char>((t[i] == 'p') & (t[i + 3] == 'v') & (t[i + 8] == 'p') &
                                        (t[i + 13] == 'y'));
    found |= static_cast<unsigned char>((t[i] == 'c') & (t[i + 3] == 'k') & (t[i + 4] == 'i') &
                                        (t[i + 5] == 'e'));
  }
  if (found) return true;
  // The last bytes one by one.
  for (const std::string_view phrase :
       {"lorem ipsum", "javascript", "terms of use", "cookie", "privacy policy"}) {
    if (text.substr(end).find(phrase) != text.npos) return true;
  }
  return false;
}

C4Lines read_c4_lines(const Measured& m, const std::function<void(std::string_view)>& f) {
  C4Lines found;
  const bool phrases = may_hold_phrases(m.simple.text());
  const bool citations = m.split.count('[') > 0;
  const bool brackets = m.split.count('{') > 0;
  std::string changed;
  for (const TextLine& piece : m.split.lines()) {
    std::string_view line = strip(m.split.text_of(piece));
    const ChunkCount count = count_chunks(m.split, piece);
    if (count.too_long) continue;
    const bool cited = citations && line.find('[') != line.npos;
    if (cited) {
      changed = without_citations(line);
      line = changed;
    }
    if (!ends_sentence(line) || count.chunks < kFewestWords) continue;
    const std::string lower = phrases ? lower_ascii(line) : "";
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
      const auto& words = m.work.split.words();
      found.sentences += count_sentences(words, 0, static_cast<uint32_t>(words.size()));
    } else {
      found.sentences += count_sentences(m.split.words(), piece.first_word, piece.end_word);
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

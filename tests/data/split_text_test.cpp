#include "data/curate/split_text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "data/curate/text_pieces.h"

namespace lathe {
namespace {

// As str.split("\n") cuts, but for an empty last piece.
std::vector<std::string> plainly_cut(const std::string& text) {
  std::vector<std::string> pieces{""};
  for (const char c : text) {
    if (c == '\n') {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  if (pieces.back().empty()) pieces.pop_back();
  return pieces;
}

TEST(SplitText, CutsAndComparesLinesAsAPlainLoopDoes) {
  const std::string end = "\xE2\x80\xA8";  // of a line, though no newline
  int found = 0;
  SplitText split;
  for (const std::string text :
       {"", "\n", "\n\n", "a", "a\n", "\na", "one two\n\none two\n", " x \nx\n x ", "a\r\na\r\nb",
        "a\x1c"
        "b\na",
        "word, word. word! (word)\nword, word. word! (word)\n\t\n\t\n"}) {
    for (const std::string& whole : {text, text + end + text, std::string(70, '\n') + text}) {
      split.split(whole);
      const std::vector<std::string> plain = plainly_cut(whole);
      ASSERT_EQ(split.pieces().size(), plain.size()) << whole;
      std::set<std::string> seen;
      uint32_t words = 0;
      for (size_t i = 0; i < plain.size(); ++i) {
        const TextLine& piece = split.pieces()[i];
        EXPECT_EQ(split.text_of(piece), plain[i]) << whole;
        EXPECT_EQ(split.inner_of(piece), strip(plain[i])) << whole;
        EXPECT_EQ(piece.first_word, words) << whole;
        while (words < split.words().size() && split.words()[words].begin < piece.end) ++words;
        EXPECT_EQ(piece.end_word, words) << whole;
        const bool first = seen.insert(plain[i]).second;
        EXPECT_EQ(piece.repeated, !first && !plain[i].empty()) << whole;
        ++found;
      }
    }
  }
  EXPECT_GT(found, 500);
}

}  // namespace
}  // namespace lathe

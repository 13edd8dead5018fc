#include "data/tokenize/splitter.h"

#include <gtest/gtest.h>

#include <random>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

// What the rules of the patterns turn on, in runs long and short.
std::string random_text(std::mt19937& random, size_t max_pieces) {
  static const std::vector<std::string> pieces = {" ",
                                                  "  ",
                                                  "\n",
                                                  "\r\n",
                                                  "\n\n",
                                                  "\t",
                                                  "'",
                                                  "'s",
                                                  "'LL",
                                                  "'re",
                                                  "'\xC5\xBF",
                                                  "the",
                                                  "a",
                                                  "Z",
                                                  "1",
                                                  "12",
                                                  "123",
                                                  ".",
                                                  "--",
                                                  "<|",
                                                  "\xC2\xA0",
                                                  "\xE3\x80\x80",
                                                  "\xC2\x85",
                                                  "\xC3\xA9",
                                                  "\xE2\x80\x94",
                                                  "\xE2\x80\x9C",
                                                  "\xEF\xBC\x8C",
                                                  "\xE4\xBD\xA0",
                                                  "\xD9\xA1",
                                                  "\xF0\x9F\x98\x80",
                                                  "\xF0\x9D\x9F\x8E",
                                                  "\xF0\xA0\x80\x80",
                                                  std::string(1, '\0')};
  std::string text;
  const size_t count = random() % max_pieces;
  while (text.size() < count) {
    const std::string& piece = pieces[random() % pieces.size()];
    const size_t times = random() % 8 == 0 ? random() % 100 : 1;
    for (size_t i = 0; i < times; ++i) text += piece;
  }
  return text;
}

std::vector<std::string_view> words_by_walking(const Splitter& splitter, std::string_view text) {
  std::vector<std::string_view> words;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* next = splitter.word_end_plain(p, end);
    words.emplace_back(p, next - p);
    p = next;
  }
  return words;
}

std::vector<std::string_view> words_by_bits(const Splitter& splitter, std::string_view text) {
  std::vector<std::string_view> words;
  splitter.split(text, [&](const char* begin, const char* end) {
    words.emplace_back(begin, static_cast<size_t>(end - begin));
  });
  return words;
}

constexpr Splitter::Pattern kPatterns[] = {Splitter::Pattern::kGpt2, Splitter::Pattern::kGpt2Digits,
                                           Splitter::Pattern::kLlama3, Splitter::Pattern::kQwen2};

TEST(Splitter, BitsGiveTheWordsThatAWalkGives) {
  for (const Splitter::Pattern pattern : kPatterns) {
    const Splitter splitter(pattern);
    std::mt19937 random(11);
    for (int i = 0; i < 4000; ++i) {
      const std::string text = random_text(random, i % 20 == 0 ? 20000 : 300);
      ASSERT_EQ(words_by_bits(splitter, text), words_by_walking(splitter, text))
          << "pattern " << static_cast<int>(pattern) << ", text " << i;
    }
  }
}

// One kind of character over many windows: the walk steps in, and the time stays linear.
TEST(Splitter, CutsEndlessRunsAsAWalkDoes) {
  for (const Splitter::Pattern pattern : kPatterns) {
    const Splitter splitter(pattern);
    for (const char* piece : {"a", " ", "\n", " \n", "7", "-", "-\n", "\xE4\xBD\xA0",
                              "\xE3\x80\x80", "\xE2\x80\x94", "'s", "a ", "\xF0\x9F\x98\x80"}) {
      for (const char* last : {"", "x", " ", "\n", "."}) {
        std::string text;
        while (text.size() < 9000) text += piece;
        text += last;
        ASSERT_EQ(words_by_bits(splitter, text), words_by_walking(splitter, text))
            << static_cast<int>(pattern) << " " << piece << " " << last;
      }
    }
  }
}

TEST(CharacterBits, TheQuickVersionEqualsThePlainOne) {
  std::mt19937 random(5);
  char bytes[64];
  for (int i = 0; i < 2000; ++i) {
    for (char& byte : bytes) byte = static_cast<char>(random());
    const ByteBits plain = find_byte_bits_plainly(bytes), quick = find_byte_bits()(bytes);
    EXPECT_EQ(quick.letters, plain.letters);
    EXPECT_EQ(quick.numbers, plain.numbers);
    EXPECT_EQ(quick.spaces, plain.spaces);
    EXPECT_EQ(quick.line_ends, plain.line_ends);
    EXPECT_EQ(quick.blanks, plain.blanks);
    EXPECT_EQ(quick.quotes, plain.quotes);
    EXPECT_EQ(quick.continuations, plain.continuations);
    EXPECT_EQ(quick.not_ascii, plain.not_ascii);
  }
}

}  // namespace
}  // namespace lathe

#include "data/curate/text_bits.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace lathe {
namespace {

struct Read {
  TextBits bits;
  std::vector<TextStretch> stretches;
};

// As TextBits::read does it, by given loops; then all stretches between lines.
Read read_by(const TextLoops& loops, const std::string& text) {
  const std::string padded = text + std::string(TextBits::kRoomBehind, '\0');
  Read read;
  read.bits.read(padded.data(), text.size());
  read.bits.num_starts = 0;
  read.bits.counts = {};
  for (auto* row : {&read.bits.spaces, &read.bits.not_letters, &read.bits.newlines}) {
    for (size_t w = 0; w <= text.size() / 64; ++w) (*row)[w] = 0x5555;
  }
  loops.read(padded.data(), text.size(), read.bits);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    read.stretches.push_back(
        {.begin = static_cast<uint32_t>(begin), .end = static_cast<uint32_t>(end)});
    begin = end + 1;
  }
  loops.count(read.bits, read.stretches.data(), read.stretches.size());
  return read;
}

bool has(const std::vector<uint64_t>& row, size_t i) { return row[i / 64] >> (i % 64) & 1; }

// What a loop over the bytes says.
void expect_plainly(const Read& read, const std::string& text) {
  const auto among = [](char c, std::string_view set) { return set.find(c) != set.npos; };
  const TextCounts& counts = read.bits.counts;
  TextCounts plain;
  std::vector<uint32_t> starts;
  bool before = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool space = among(c, " \t\n\v\f\r");
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    ASSERT_EQ(has(read.bits.spaces, i), space) << text;
    ASSERT_EQ(has(read.bits.not_letters, i), !letter) << text;
    ASSERT_EQ(has(read.bits.newlines, i), c == '\n') << text;
    if (before && !space) starts.push_back(static_cast<uint32_t>(i));
    before = space;
    const auto next = [&](std::string_view piece) {
      return std::string_view(text).substr(i).starts_with(piece);
    };
    plain.continuations += (c & 0xC0) == 0x80;
    plain.not_ascii += c < 0;
    plain.letters += letter;
    plain.digits += c >= '0' && c <= '9';
    plain.spaces += space || among(c, "\x1c\x1d\x1e\x1f");
    plain.newlines += c == '\n';
    plain.hashes += c == '#';
    plain.brackets += among(c, "()[]{}");
    plain.open_square += c == '[';
    plain.open_curly += c == '{';
    plain.ellipses += next("\u2026");
    plain.three_dots |= next("...");
    plain.other_line_ends |=
        among(c, "\r\v\f\x1c\x1d\x1e") || next("\u0085") || next("\u2028") || next("\u2029");
    plain.addresses |= next("://") || next("www");
  }
  EXPECT_TRUE(has(read.bits.spaces, text.size()) && has(read.bits.not_letters, text.size()));
  plain.phrases = counts.phrases;  // of single phrases below
  EXPECT_EQ(counts, plain) << text;
  ASSERT_EQ(read.bits.num_starts, starts.size()) << text;
  for (size_t k = 0; k < starts.size(); ++k) ASSERT_EQ(read.bits.starts[k], starts[k]) << text;
  for (const TextStretch& stretch : read.stretches) {
    TextStretch one{.begin = stretch.begin, .end = stretch.end};
    for (const uint32_t start : starts) one.chunks_before_end += start < one.end;
    for (uint32_t i = one.begin; i < one.end; ++i) {
      one.chars += (text[i] & 0xC0) != 0x80;
      one.upper += text[i] >= 'A' && text[i] <= 'Z';
      one.digits += text[i] >= '0' && text[i] <= '9';
    }
    EXPECT_EQ(stretch, one) << text;
  }
}

TEST(TextBits, EveryLoopSaysWhatAPlainOneDoes) {
  std::vector<TextLoops> all{text_loops_plain(), text_loops()};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) all.push_back(text_loops_avx2());
  constexpr std::string_view kPieces[] = {
      "a",    "Z",  "word", " ",      "  ",     "\n",     "\n\n",   "\r\n",  "\t",
      "\v",   "\f", "\x1c", "\x1f",   "...",    "..",     "://",    "www",   "ww",
      ":/",   "#",  "[",    "{",      "(",      ")",      "}",      "]",     "@",
      "`",    "0",  "9",    "/",      ":",      "é",      "€",      "🙂",  "\u0085",
      "\x7f", "\\", "\x1e", "\u2026", "\u2028", "\u2029", "\u2027", "\u00a8"};
  std::mt19937_64 random(3);
  int texts = 0;
  for (size_t size = 0; size < 300; ++size) {
    const bool plain = random() % 4 == 0;
    std::string text;
    while (text.size() < size) text += plain ? "abcde " : kPieces[random() % std::size(kPieces)];
    for (const TextLoops& loops : all) {
      expect_plainly(read_by(loops, text), text);
      ++texts;
    }
  }
  EXPECT_GE(texts, 600);
}

TEST(TextBits, SeesEveryPhraseWhereverItStands) {
  int found = 0;
  for (const std::string phrase :
       {"lorem ipsum", "javascript", "terms of use", "privacy policy", "cookie policy",
        "uses cookies", "use of cookies", "use cookies", "USE Cookies"}) {
    for (size_t at = 0; at < 130; ++at) {
      const std::string text = std::string(at, '-') + phrase + " xyz";
      for (const TextLoops& loops : {text_loops_plain(), text_loops()}) {
        EXPECT_TRUE(read_by(loops, text).bits.counts.phrases) << text;
        ++found;
      }
    }
  }
  EXPECT_EQ(found, 9 * 130 * 2);
  EXPECT_FALSE(read_by(text_loops(), "The cook used it for a private script.").bits.counts.phrases);
}

TEST(TextBits, CountsWideCharactersOnce) {
  const std::string text = std::string(61, 'a') + "\u00e9\u20ac" + std::string(60, 'b') + "\u20ac";
  const std::string padded = text + std::string(TextBits::kRoomBehind, '\0');
  TextBits bits;
  bits.read(padded.data(), text.size());
  std::vector<size_t> places;
  bits.each_wide(padded.data(), text.size(),
                 [&](const char* p) { places.push_back(static_cast<size_t>(p - padded.data())); });
  EXPECT_EQ(places, (std::vector<size_t>{61, 63, 126}));
}

// Of functions with one name in several files the linker takes any one for all.
TEST(TextBits, EveryInstructionSetHasItsOwnLoops) {
  EXPECT_NE(text_loops_plain().read, text_loops_avx2().read);
  EXPECT_NE(text_loops_plain().count, text_loops_avx2().count);
  EXPECT_NE(text_loops_avx2().read, text_loops_avx512().read);
  EXPECT_NE(text_loops_avx2().count, text_loops_avx512().count);
}

}  // namespace
}  // namespace lathe

// Repeated sentences and paragraphs: planted ones are found, others are not.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "data/curate/bloom_filter.h"
#include "data/curate/curate.h"
#include "data/curate/spans.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using nlohmann::json;

TEST(BloomFilter, FindsAllThatWasAddedAndErrsAsOftenAsItSays) {
  constexpr int kItems = 100'000;
  for (const int64_t most_bytes : {int64_t{1} << 20, int64_t{60'000}}) {
    BloomFilter filter(kItems, 1e-3, most_bytes);
    EXPECT_LE(filter.bytes(), most_bytes);
    std::mt19937_64 random(4);
    for (int i = 0; i < kItems; ++i) filter.add(random());
    random.seed(4);
    for (int i = 0; i < kItems; ++i) ASSERT_TRUE(filter.holds(random()));
    int wrong = 0;
    for (int i = 0; i < kItems; ++i) wrong += filter.holds(random());
    const double p = filter.false_positive_rate();
    EXPECT_NEAR(wrong / double{kItems}, p, 4 * std::sqrt(p * (1 - p) / kItems)) << most_bytes;
    // Where memory is enough the rate is what was asked for.
    if (most_bytes == int64_t{1} << 20) EXPECT_LT(p, 1.5e-3);
  }
  EXPECT_THROW(BloomFilter(1, 0, 1000), std::invalid_argument);
  EXPECT_THROW(BloomFilter(1, 0.1, 8), std::invalid_argument);
}

std::vector<uint64_t> sentences(const std::string& text) {
  SplitText split;
  split.split(text);
  std::vector<uint64_t> hashes;
  append_sentence_spans(split, hashes);
  return hashes;
}

TEST(Spans, AreEveryThreeSentencesWhateverTheWhiteSpace) {
  EXPECT_TRUE(sentences("One here. Two here.").empty());
  const auto four = sentences("One here. Two here. Three here! Four?");
  ASSERT_EQ(four.size(), 2u);
  EXPECT_NE(four[0], four[1]);
  EXPECT_EQ(sentences("One  here.\nTwo here. Three\there!"), std::vector{four[0]});
  EXPECT_EQ(sentences("Two here. Three here! Four?"), std::vector{four[1]});
  EXPECT_NE(sentences("One here. Two here. Three there!"), std::vector{four[0]});
}

TEST(Spans, ParagraphsAreCutFromTheirFirstWord) {
  SplitText split;
  std::vector<uint64_t> hashes, again;
  split.split("a b c d e f g\nx y\na b c");
  append_paragraph_ngrams(split, 3, hashes);
  ASSERT_EQ(hashes.size(), 3u);  // abc def | none | abc
  EXPECT_EQ(hashes[0], hashes[2]);
  split.split("more of it\na b c d e f");
  append_paragraph_ngrams(split, 3, again);
  ASSERT_EQ(again.size(), 3u);
  EXPECT_EQ(again[1], hashes[0]);
  EXPECT_EQ(again[2], hashes[1]);
}

// 40 documents of ten paragraphs of two sentences; the last three borrow nine, five and nine of
// theirs from different others, the very last of a better tier.
class RepeatedSpans : public testing::Test {
 protected:
  RepeatedSpans() {
    std::mt19937_64 random(6);
    std::vector<std::vector<std::string>> paragraphs(40);
    for (auto& document : paragraphs) {
      for (int p = 0; p < 10; ++p) {
        std::string text;
        for (int w = 0; w < 30; ++w) {
          for (int k = 0; k < 6; ++k) text += static_cast<char>('a' + random() % 26);
          text += w == 14 ? ". " : w == 29 ? "." : " ";
        }
        document.push_back(text);
      }
    }
    const auto borrow = [&](size_t to, size_t from, size_t count) {
      for (size_t p = 0; p < count; ++p) paragraphs[to][p] = paragraphs[from + p / 3][p];
    };
    borrow(37, 0, 9);
    borrow(38, 10, 5);
    borrow(39, 20, 9);
    std::string silver, gold;
    for (size_t d = 0; d < paragraphs.size(); ++d) {
      std::string text;
      for (const std::string& p : paragraphs[d]) text += p + "\n";
      (d == 39 ? gold : silver) += json{{"text", text}}.dump() + "\n";
    }
    write_text(folder_ / "a.jsonl", silver);
    write_text(folder_ / "g.jsonl", gold);
    options_.sources = {{.name = "a", .files = {folder_ / "a.jsonl"}},
                        {.name = "g", .files = {folder_ / "g.jsonl"}, .tier = Tier::kGold}};
    options_.block_bytes = 8000;
  }

  TestFolder folder_;
  CurateOptions options_;
};

TEST_F(RepeatedSpans, TheOneThatIsMostlyOthersGoesAndTheBetterTierStays) {
  EXPECT_EQ(curate(options_, folder_ / "none").kept, 40);
  options_.repeated_sentences = 0.5;
  CurateResult result = curate(options_, folder_ / "sentences");
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"repeated_sentences", 1}}));
  options_.dedup_bytes = 100;  // many turns
  options_.threads = 2;
  curate(options_, folder_ / "turns");
  EXPECT_EQ(read_file(folder_ / "turns/report.json"), read_file(folder_ / "sentences/report.json"));
  options_.repeated_sentences = 0;
  options_.repeated_paragraphs = 0.8;
  result = curate(options_, folder_ / "paragraphs");
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"repeated_paragraphs", 1}}));
  const json report = json::parse(read_file(folder_ / "paragraphs/report.json"));
  EXPECT_LT(report["bloom_filter"]["false_positive_rate"], 1e-5);
  options_.repeated_paragraphs = 0.5;
  result = curate(options_, folder_ / "more");
  EXPECT_EQ(result.dropped_by["repeated_paragraphs"], 2);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "more/kept/g"));
}

TEST_F(RepeatedSpans, TheExcludedRecordSaysTheShareAndTheThreshold) {
  const auto excluded = [&](const std::string& name) {
    curate(options_, folder_ / name);
    std::vector<json> lines;
    for (const auto& file :
         std::filesystem::recursive_directory_iterator(folder_ / name + "/excluded")) {
      if (!file.is_regular_file()) continue;
      const std::string text = read_file(file.path().string());
      for (size_t at = 0, end; at < text.size(); at = end + 1) {
        end = text.find('\n', at);
        lines.push_back(json::parse(text.substr(at, end - at)));
      }
    }
    return lines;
  };
  options_.repeated_sentences = 0.5;
  auto lines = excluded("sentences");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["stage"], "sentences");
  EXPECT_EQ(lines[0]["rule"], "repeated_sentences");
  EXPECT_EQ(lines[0]["threshold"], 0.5);
  // 20 sentences make 18 spans; of each run of three borrowed paragraphs four are whole.
  EXPECT_EQ(lines[0]["value"], 12 / 18.0);
  options_.repeated_sentences = 0;
  options_.repeated_paragraphs = 0.9;
  lines = excluded("paragraphs");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["rule"], "repeated_paragraphs");
  EXPECT_EQ(lines[0]["threshold"], 0.9);
  EXPECT_EQ(lines[0]["value"], 0.9);
  options_.repeated_paragraphs = 0.91;
  EXPECT_EQ(curate(options_, folder_ / "above").dropped, 0);
}

TEST_F(RepeatedSpans, SharesOutsideZeroToOneAreRefused) {
  options_.repeated_paragraphs = 2;
  EXPECT_THROW(curate(options_, folder_ / "x"), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

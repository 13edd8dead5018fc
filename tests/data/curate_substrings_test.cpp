// Exact substrings: equal windows as the definition says, and what becomes of documents.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "data/curate/curate.h"
#include "data/curate/equal_windows.h"
#include "data/curate/repeated_substrings.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string letters(std::mt19937_64& random, size_t count, int alphabet = 26) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += static_cast<char>('a' + random() % alphabet);
  return text;
}

TEST(EqualWindows, AreThoseOfTheDefinitionForAnyNumberOfThreads) {
  std::mt19937_64 random(2);
  // Above 65,536 bytes the threads share more than one piece.
  for (const size_t length : {size_t{0}, size_t{1}, size_t{7}, size_t{400}, size_t{200'000}}) {
    const std::string text = letters(random, length, length > 1000 ? 20 : 3);
    constexpr size_t kSize = 4;
    std::map<std::string_view, std::vector<size_t>> places;
    for (size_t i = 0; i + kSize <= length; ++i)
      places[std::string_view(text).substr(i, kSize)].push_back(i);
    const EqualWindows windows = find_equal_windows(text, kSize, 1);
    ASSERT_EQ(windows.groups.size(), length);
    int32_t groups = 0;
    std::vector<int32_t> expected(length);
    for (const auto& [unused, at] : places) {
      if (at.size() > 1) ++groups;  // in the order of the suffixes, which is the map's
      for (const size_t i : at) expected[i] = at.size() > 1 ? groups : 0;
    }
    EXPECT_EQ(windows.groups, expected) << length;
    EXPECT_EQ(windows.num_groups, groups);
    EXPECT_EQ(find_equal_windows(text, kSize, 3).groups, windows.groups);
  }
}

TEST(Substrings, WhatIsLeftKeepsItsWordsApart) {
  const std::vector<TextCut> cuts{{0, 3, 6}, {0, 8, 9}};
  EXPECT_EQ(without_cuts("abcXXXde\tf", cuts), "abc\nde\nf");
  EXPECT_EQ(without_cuts("ab XXXde\n f", cuts), "ab de f");
  EXPECT_EQ(without_cuts("XXXabc", std::vector<TextCut>{{0, 0, 3}}), "abc");
  EXPECT_EQ(without_cuts("abcXXX", std::vector<TextCut>{{0, 3, 6}}), "abc");
}

// Documents of one source, in memory, as the pass over blocks gives them.
struct Given {
  explicit Given(std::vector<std::string> all) : texts(std::move(all)), tiers(texts.size()) {
    decisions.reasons.resize(texts.size());
  }
  void run(SubstringRule rule) {
    drop_repeated_substrings(
        decisions,
        [&](Tier tier, const auto& wanted, const auto& f) {
          for (size_t d = 0; d < texts.size(); ++d) {
            if (tiers[d] == tier && wanted(d)) f(d, texts[d], plain);
          }
        },
        rule);
  }
  std::vector<std::string> texts;
  std::vector<Tier> tiers;
  Decisions decisions;
  bool plain = true;
};

const SubstringRule kCut{
    .reason = 9, .bytes = 50, .share = 1, .cut = true, .most_bytes = 1 << 20, .threads = 1};
const SubstringRule kDrop{
    .reason = 9, .bytes = 50, .share = 0.5, .cut = false, .most_bytes = 1 << 20, .threads = 1};

using Cuts = std::vector<TextCut>;

TEST(Substrings, ThoseOfAtLeastSoManyBytesAreCutWhereTheyComeAgain) {
  std::mt19937_64 random(3);
  const std::string a = letters(random, 50), b = letters(random, 49);
  Given given({"0123" + a + "x" + b, "45" + a + "6789" + b + "0", a});
  given.run(kCut);
  // a is 50 bytes and goes the second time; b is 49 and stays; of the last nothing is left.
  EXPECT_EQ(given.decisions.cuts, (Cuts{{1, 2, 52}}));
  EXPECT_EQ(given.decisions.reasons, (std::vector<uint16_t>{kKept, kKept, 9}));
  EXPECT_EQ(given.decisions.values.at(2), 1);
  Given chats = given;
  chats.decisions = {};
  chats.decisions.reasons.resize(3);
  chats.plain = false;
  chats.run(kCut);
  EXPECT_TRUE(chats.decisions.cuts.empty());
}

TEST(Substrings, TheShareDecidesFromBothSides) {
  std::mt19937_64 random(4);
  const std::string a = letters(random, 60);
  Given given({a, a + letters(random, 60), a + letters(random, 61)});
  given.run(kDrop);
  EXPECT_EQ(given.decisions.reasons, (std::vector<uint16_t>{kKept, 9, kKept}));
  EXPECT_EQ(given.decisions.values.at(1), 0.5);
  EXPECT_TRUE(given.decisions.cuts.empty());
}

TEST(Substrings, TheBetterTierKeepsItAndWhatIsDroppedSaysNothing) {
  std::mt19937_64 random(5);
  const std::string a = letters(random, 80), b = letters(random, 60);
  Given tiers({a, a});
  tiers.tiers = {Tier::kSilver, Tier::kGold};
  tiers.run(kDrop);
  EXPECT_EQ(tiers.decisions.reasons, (std::vector<uint16_t>{9, kKept}));
  // The second goes for a; what it says besides is first said by the third.
  Given given({a, a + b, b + letters(random, 10)});
  given.run(kDrop);
  EXPECT_EQ(given.decisions.reasons, (std::vector<uint16_t>{kKept, 9, kKept}));
}

TEST(Substrings, WithinADocumentTheFirstStaysWhole) {
  std::mt19937_64 random(6);
  const std::string a = letters(random, 70);
  Given given({a + "-" + a, std::string(500, 'z')});
  given.run(kCut);
  EXPECT_EQ(given.decisions.cuts, (Cuts{{0, 71, 141}, {1, 50, 500}}));
}

TEST(Substrings, CutsKeepCharactersWhole) {
  // Characters that share their last, or their first, byte with the repeated part.
  std::mt19937_64 random(7);
  const std::string a = letters(random, 60);
  Given given({"\xc3\xa9" + a + "\xc3\xa9", "\xc2\xa9" + a + "\xc3\xa8"});
  given.run(kCut);
  EXPECT_EQ(given.decisions.cuts, (Cuts{{1, 2, 62}}));
}

TEST(Substrings, WindowsDoNotReachIntoTheNextDocument) {
  std::mt19937_64 random(8);
  const std::string a = letters(random, 30), b = letters(random, 30);
  Given given({a, b, a, b});
  given.run(kDrop);
  EXPECT_EQ(given.decisions.reasons, (std::vector<uint16_t>(4, kKept)));
}

TEST(Substrings, WhatWasRepeatedOnceIsKnownInEveryBlockBehind) {
  std::mt19937_64 random(9);
  const std::string often = letters(random, 60), twice = letters(random, 60);
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i)
    texts.push_back(letters(random, 99) + static_cast<char>(' ' + i) +
                    (i % 2 == 1 || i == 0 ? often : ""));
  texts[2] += twice;
  texts[37] += twice;
  Given whole(texts), blocks(texts);
  whole.run(kCut);
  Cuts expected;
  for (uint32_t i = 1; i < 40; i += 2) expected.push_back({i, 100, 160});
  Cuts with_twice = expected;
  with_twice[18].end = 220;  // of document 37
  EXPECT_EQ(whole.decisions.cuts, with_twice);
  SubstringRule small = kCut;
  small.most_bytes = 10 * 520;  // some four documents a block
  blocks.run(small);
  EXPECT_EQ(blocks.decisions.cuts, expected);
  small.most_bytes = 1;  // every document a block of its own: nothing is ever found
  Given alone(texts);
  alone.run(small);
  EXPECT_TRUE(alone.decisions.cuts.empty());
}

TEST(Substrings, AreCutFromFilesAndDropTheirsWithReasonsForAnyThreads) {
  std::mt19937_64 random(10);
  TestFolder folder;
  std::string lines, gold;
  const std::string notice =
      "All rights reserved: " + letters(random, 40) + " " + letters(random, 40);
  for (int i = 0; i < 20; ++i)
    lines +=
        json{{"text", letters(random, 120) + static_cast<char>('A' + i) + notice}}.dump() + "\n";
  lines += json{{"text", notice}}.dump() + "\n";
  gold = json{{"text", "Gold!" + notice}}.dump() + "\n";
  write_text(folder / "a.jsonl", lines);
  write_text(folder / "g.jsonl", gold);
  CurateOptions options;
  options.sources.resize(2);
  options.sources[0].name = "a";
  options.sources[0].files = {folder / "a.jsonl"};
  options.sources[1].name = "g";
  options.sources[1].files = {folder / "g.jsonl"};
  options.sources[1].tier = Tier::kGold;
  options.block_bytes = 1000;
  options.near = false;
  options.cut_substrings = true;
  options.substring_bytes = 50;
  const CurateResult result = curate(options, folder / "one");
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"repeated_substrings", 1}}));
  options.threads = 3;
  curate(options, folder / "three");
  int kept = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "one")) {
    if (!entry.is_regular_file() || entry.path().extension() == ".sig") continue;
    const std::string path = entry.path().string(), text = read_file(path);
    EXPECT_EQ(text, read_file(folder / "three" + path.substr((folder / "one").size()))) << path;
    if (path.find("/kept/a/") == path.npos) continue;
    for (size_t at = 0, end; at < text.size(); at = end + 1, ++kept) {
      end = text.find('\n', at);
      const json line = json::parse(text.substr(at, end - at));
      EXPECT_EQ(line["text"].get<std::string>().size(), 121u);
      EXPECT_EQ(line["curated"]["cut"],
                json::parse(fmt::format("[[121, {}]]", 121 + notice.size())));
    }
  }
  EXPECT_EQ(kept, 20);
  json excluded;
  for (const auto& entry : fs::directory_iterator(folder / "one/excluded/a"))
    excluded = json::parse(read_file(entry.path().string()));
  EXPECT_EQ(excluded["rule"], "repeated_substrings");
  EXPECT_EQ(excluded["value"], 1);
  EXPECT_EQ(excluded["threshold"], 1);
  const json report = json::parse(read_file(folder / "one/report.json"));
  EXPECT_EQ(report["cut"]["documents"], 20);
  options.substring_bytes = 0;
  EXPECT_THROW(curate(options, folder / "bad"), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

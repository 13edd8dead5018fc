// MinHash, contamination and personal data: planted cases are found as often as the theory says.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/curate/contamination.h"
#include "data/curate/minhash.h"
#include "data/curate/pii.h"
#include "tests/data/curate_tools.h"
#include "tests/shared.h"

namespace lathe {
namespace {

std::string words(std::mt19937_64& random, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    for (int k = 0; k < 7; ++k) text += static_cast<char>('a' + random() % 26);
  }
  return text;
}

// Of two texts of n-grams: `common` shared ones and as many of each one's own as the similarity
// asks.
std::pair<std::string, std::string> alike(std::mt19937_64& random, size_t common, size_t own) {
  const std::string shared = words(random, common + 4);
  return {shared + ' ' + words(random, own), shared + ' ' + words(random, own)};
}

TEST(MinHash, FindsNearDuplicatesAsOftenAsTheTheorySays) {
  constexpr int kPairs = 300;
  for (const MinHashKind kind : {MinHashKind::k32Bit, MinHashKind::k61Bit}) {
    MinHash hash({.kind = kind});
    std::mt19937_64 random(7);
    SimpleText text;
    for (const double wanted : {0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95}) {
      constexpr size_t kCommon = 190;
      const auto own = static_cast<size_t>(std::lround(kCommon * (1 - wanted) / wanted / 2));
      const double s = static_cast<double>(kCommon) / static_cast<double>(kCommon + 2 * own);
      int found = 0;
      for (int p = 0; p < kPairs; ++p) {
        const auto [a, b] = alike(random, kCommon, own);
        std::vector<uint64_t> bands_a, bands_b;
        text.make(a);
        hash.append_bands(text, bands_a);
        text.make(b);
        hash.append_bands(text, bands_b);
        bool shared = false;
        for (size_t k = 0; k < bands_a.size(); ++k) shared |= bands_a[k] == bands_b[k];
        found += shared;
      }
      const double p = 1 - std::pow(1 - std::pow(s, 8), 14);
      // Pairs share their hash functions, so the band is that of the binomial with room for that.
      const double width = 2.576 * std::sqrt(p * (1 - p) / kPairs) + 0.5 / kPairs;
      EXPECT_NEAR(static_cast<double>(found) / kPairs, p, width)
          << "similarity " << s << " kind " << static_cast<int>(kind);
    }
  }
}

TEST(MinHash, EveryInstructionSetGivesTheSameSignature) {
  std::mt19937_64 random(3);
  std::vector<uint64_t> shingles(1000), a, b;
  for (uint64_t& shingle : shingles) shingle = random();
  draw_permutations(1, 112, a, b);
  std::vector<uint32_t> a32(a.begin(), a.end()), b32(b.begin(), b.end());
  const auto run = [&](const MinHashLoops& loops) {
    std::vector<uint64_t> least(112, ~uint64_t{0});
    std::vector<uint32_t> least32(112, ~uint32_t{0});
    loops.least61(shingles.data(), shingles.size(), a.data(), b.data(), least.data(), 112);
    loops.least32(shingles.data(), shingles.size(), a32.data(), b32.data(), least32.data(), 112);
    return std::pair(least, least32);
  };
  const auto plain = run(min_hash_plain());
  for (size_t k = 0; k < 112; ++k) {
    uint64_t least = ~uint64_t{0};
    for (const uint64_t shingle : shingles)
      least = std::min(least, (shingle * a[k] + b[k]) % ((uint64_t{1} << 61) - 1));
    ASSERT_EQ(plain.first[k], least);
  }
  EXPECT_EQ(run(min_hash_loops()), plain);
  if (__builtin_cpu_supports("avx2")) { EXPECT_EQ(run(min_hash_avx2()), plain); }
  // Of functions with one name in several files the linker takes any one for all.
  EXPECT_NE(min_hash_plain().least61, min_hash_avx2().least61);
  EXPECT_NE(min_hash_avx2().least32, min_hash_avx512().least32);
}

TEST(MinHash, DrawsNumpysPermutations) {
  // numpy.random.RandomState(1).randint(1, 2**61-1, dtype=uint64, size=112)
  std::vector<uint64_t> a, b;
  draw_permutations(1, 112, a, b);
  EXPECT_EQ(a[0], 775169054918279404u);
  EXPECT_EQ(a[1], 1758426461858698313u);
  EXPECT_EQ(b[0], 1062448801025099917u);
}

TEST(SimpleText, DropsWhatMakesNoDifference) {
  SimpleText text;
  text.make("  Ünïcode, 3.14 & 1,234,567 — DON'T cannot \"Quote\"!\n");
  EXPECT_EQ(text.text(), "unicode 0 0 0 don t can not quote");
  text.make("");
  EXPECT_EQ(text.text(), "");
}

// Hangul becomes three times as many bytes; what follows needs its room all the same.
TEST(SimpleText, TakesCharactersApart) {
  const std::string word = "abcdefghijklmnopqrstuvwxyz";
  std::string document, expected;
  for (int i = 0; i < 3000; ++i) document += "\uAC01", expected += "\u1100\u1161\u11A8";
  for (int i = 0; i < 500; ++i) document += ' ' + word, expected += ' ' + word;
  SimpleText text;
  text.make(document);
  EXPECT_EQ(text.text(), expected);
  EXPECT_EQ(text.num_words(), 501u);
}

std::vector<EvaluationItem> items(std::mt19937_64& random, int count) {
  std::vector<EvaluationItem> all;
  for (int i = 0; i < count; ++i)
    all.push_back({"task", fmt::format("item {}", i), words(random, 20)});
  return all;
}

std::string shout(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  return text;
}

TEST(Contamination, FindsEveryPlantedItemAndNoNearMiss) {
  std::mt19937_64 random(11);
  const std::vector<EvaluationItem> all = items(random, 100);
  const Contamination contamination({}, all);
  SimpleText text;
  const auto found = [&](const std::string& document) {
    text.make(document);
    return contamination.find_span(text).item;
  };
  for (int i = 0; i < 100; ++i) {
    const std::string& item = all[static_cast<size_t>(i)].text;
    std::string commas = item;
    for (char& c : commas) c = c == ' ' ? ',' : c;
    EXPECT_EQ(found(item), i);
    EXPECT_EQ(found(shout(item)), i);
    EXPECT_EQ(found(commas), i);
    EXPECT_EQ(found(words(random, 300) + " (" + item + ") " + words(random, 300)), i);
    size_t end = 0;
    for (int k = 0; k < 12; ++k) end = item.find(' ', end) + 1;
    const std::string miss = item.substr(0, end - 1);  // 12 of its words
    EXPECT_EQ(found(miss), -1);
    EXPECT_EQ(found(words(random, 100) + ' ' + miss + ' ' + words(random, 100)), -1);
  }
}

TEST(Contamination, CoverageIsTheShareOfAnItemsWords) {
  std::mt19937_64 random(12);
  const std::vector<EvaluationItem> all = items(random, 3);
  const Contamination contamination({}, all);
  SimpleText text;
  text.make(words(random, 30) + ' ' + all[1].text);
  EXPECT_EQ(contamination.find_coverage(text).item, 1);
  EXPECT_EQ(contamination.find_coverage(text).share, 1);
  size_t end = 0;
  for (int k = 0; k < 10; ++k) end = all[2].text.find(' ', end) + 1;
  text.make(all[2].text.substr(0, end - 1) + ' ' + words(random, 5));
  EXPECT_EQ(contamination.find_coverage(text).share, 0.5);  // 10 of 20 words
  text.make(words(random, 50));
  EXPECT_EQ(contamination.find_coverage(text).item, -1);
}

TEST(Pii, ChecksumsAndPublicAddressesDecide) {
  const auto kinds = [](std::string_view text) {
    std::string names;
    for (const PiiSpan& span : find_pii(text)) names += std::string(pii_name(span.kind)) + ' ';
    return names;
  };
  EXPECT_EQ(kinds("write to a.b+c@mail.example.org."), "email ");
  EXPECT_EQ(kinds("a@b, @name, 5 @ 3.50"), "");
  EXPECT_EQ(kinds("8.8.8.8 and 192.168.1.1 and 10.0.0.1"), "ip ");
  EXPECT_EQ(kinds("version 1.2.3.4.5"), "");
  EXPECT_EQ(kinds("4111 1111 1111 1111"), "card ");
  EXPECT_EQ(kinds("4111 1111 1111 1112"), "");
  EXPECT_EQ(kinds("GB82 WEST 1234 5698 7654 32"), "iban ");
  EXPECT_EQ(kinds("GB83WEST12345698765432"), "");
  EXPECT_EQ(kinds("call +44 20 7946 0958 or (212) 555-0123"), "phone phone ");
  EXPECT_EQ(kinds("from 1914-1918, on 2023-04-07, 3.14159, 1,234,567 and 10 000"), "");
  EXPECT_EQ(mask_pii("mail a@b.example now"), "mail <EMAIL> now");
}

struct Score {
  int right = 0, missed = 0, wrong = 0;
  double f1() const { return 2.0 * right / (2.0 * right + missed + wrong); }
};

TEST(Pii, FindsTheStructuredKindsOfThePresidioItems) {
  if (!have_shared("data/curation/presidio_pii_spans.json"))
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::map<std::string, PiiKind> named{{"EMAIL_ADDRESS", PiiKind::kEmail},
                                             {"IP_ADDRESS", PiiKind::kIp},
                                             {"PHONE_NUMBER", PiiKind::kPhone},
                                             {"IBAN_CODE", PiiKind::kIban},
                                             {"CREDIT_CARD", PiiKind::kCard}};
  std::ifstream in(shared_path("data/curation/presidio_pii_spans.json"));
  const auto items = nlohmann::json::parse(in);
  ASSERT_EQ(items.size(), 1500u);
  std::map<PiiKind, Score> scores;
  for (const auto& item : items) {
    const std::string text = item["full_text"];
    std::vector<PiiSpan> found = find_pii(text);
    for (const auto& span : item["spans"]) {
      const auto kind = named.find(span["entity_type"].get<std::string>());
      if (kind == named.end()) continue;
      // Offsets are of characters; the value itself is looked for.
      const std::string value = span["entity_value"];
      const auto match = std::find_if(found.begin(), found.end(), [&](const PiiSpan& f) {
        const std::string_view piece = std::string_view(text).substr(f.begin, f.size);
        return f.kind == kind->second &&
               (piece.find(value) != piece.npos || value.find(piece) != value.npos);
      });
      if (match == found.end()) {
        ++scores[kind->second].missed;
      } else {
        ++scores[kind->second].right;
        found.erase(match);
      }
    }
    for (const PiiSpan& rest : found) ++scores[rest.kind].wrong;
  }
  ASSERT_EQ(scores.size(), kNumPiiKinds);
  for (const auto& [kind, score] : scores) {
    fmt::print("{}: {} right, {} missed, {} wrong; precision {:.3f}, recall {:.3f}, F1 {:.3f}\n",
               pii_name(kind), score.right, score.missed, score.wrong,
               double(score.right) / (score.right + score.wrong),
               double(score.right) / (score.right + score.missed), score.f1());
    EXPECT_GE(score.f1(), 0.95) << pii_name(kind);
  }
}

}  // namespace
}  // namespace lathe

#include "data/tokenize/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "data/tokenize/unicode.h"
#include "data/tokenize/vocabulary.h"

// Many short words at once against one at a time by the reference's rule, on vocabularies made at
// random: merges that overlap, tie and make the same token twice.
namespace lathe {
namespace {

std::string token_of(const std::string& bytes) {
  std::string token;
  for (const char c : bytes) append_utf8(byte_characters()[static_cast<unsigned char>(c)], token);
  return token;
}

const std::vector<std::string> kLetters = {"a", "b", "c",        "d",
                                           " ", "'", "\xC3\xA9", "\xE2\x80\x99"};

std::string random_word(std::mt19937& random, size_t max_bytes) {
  std::string word;
  for (size_t n = 1 + random() % max_bytes; n > 0; --n) {
    const std::string& letter = kLetters[random() % kLetters.size()];
    if (word.size() + letter.size() <= max_bytes) word += letter;
  }
  return word.empty() ? "a" : word;
}

// ids_follow: those of the merges' tokens do, as they do in most vocabularies; else any.
TokenizerSpec random_spec(std::mt19937& random, size_t num_merges, bool ids_follow) {
  TokenizerSpec spec;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<size_t> usable;
  for (const std::string& letter : kLetters) {
    for (const char c : letter) usable.push_back(static_cast<unsigned char>(c));
  }
  std::vector<std::array<size_t, 3>> merges;
  while (merges.size() < num_merges) {
    const size_t left = usable[random() % usable.size()], right = usable[random() % usable.size()];
    const std::string joined = tokens[left] + tokens[right];
    const auto known = std::ranges::find(tokens, joined);
    const bool again = std::ranges::any_of(
        merges, [&](const auto& merge) { return merge[0] == left && merge[1] == right; });
    if (joined.size() > 9 || again || (ids_follow && known != tokens.end())) continue;
    const auto result = static_cast<size_t>(known - tokens.begin());
    if (result == tokens.size()) {
      tokens.push_back(joined);
      usable.push_back(result);
    }
    merges.push_back({left, right, result});
  }
  std::vector<int32_t> ids(tokens.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (!ids_follow) std::ranges::shuffle(ids, random);
  for (size_t i = 0; i < tokens.size(); ++i) spec.vocab.push_back({token_of(tokens[i]), ids[i]});
  uint32_t rank = 0;
  for (const auto& [left, right, result] : merges)
    spec.merges.push_back({ids[left], ids[right], ids[result], rank++});
  return spec;
}

void expect_equal(const Bpe& bpe, std::mt19937& random) {
  std::vector<std::string> words(97);
  for (std::string& word : words) word = random_word(random, Bpe::kMaxTogetherBytes);
  const std::vector<std::string_view> views(words.begin(), words.end());
  std::vector<Bpe::ShortIds> together(words.size());
  bpe.encode_together(views, together.data());
  for (size_t i = 0; i < words.size(); ++i) {
    std::vector<Symbol> symbols;
    bpe.encode(words[i], symbols);
    std::vector<int32_t> alone;
    for (const Symbol& symbol : symbols) alone.push_back(symbol.id);
    ASSERT_EQ(std::vector<int32_t>(together[i].ids, together[i].ids + together[i].count), alone)
        << "'" << words[i] << "'";
  }
}

TEST(Bpe, ShortWordsTogetherAreEncodedAsAlone) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    const TokenizerSpec spec = random_spec(random, 20 + random() % 200, round % 2 == 0);
    const Bpe bpe(spec, true);
    for (int i = 0; i < 20; ++i) expect_equal(bpe, random);
  }
}

TEST(Bpe, ShortWordsOfAVocabularyWithoutMerges) {
  std::mt19937 random(8);
  expect_equal(Bpe(random_spec(random, 0, true), true), random);
}

// Ids that do not fit the packed table are looked up in the other.
TEST(Bpe, ShortWordsOfAVocabularyWithLargeIds) {
  std::mt19937 random(9);
  TokenizerSpec spec = random_spec(random, 100, true);
  const auto raise = [](int32_t& id) { id += 1 << 20; };
  for (VocabToken& token : spec.vocab) raise(token.id);
  for (Merge& merge : spec.merges) raise(merge.left), raise(merge.right), raise(merge.result);
  EXPECT_TRUE(MergeTable(spec.merges).empty());
  expect_equal(Bpe(spec, true), random);
}

TEST(MergeTable, FindsEveryPairAndNoOther) {
  std::mt19937 random(10);
  std::vector<Merge> merges;
  for (int32_t left = 0; left < 300; ++left) {
    for (int32_t right = left % 3; right < 300; right += 3)
      merges.push_back({left * 7, right * 11, 0, 0});
  }
  std::ranges::shuffle(merges, random);
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    merges[rank].rank = rank;
    merges[rank].result = static_cast<int32_t>(random() % 5000);
  }
  const MergeTable table(merges);
  for (const Merge& merge : merges) {
    const auto left = static_cast<uint32_t>(merge.left), right = static_cast<uint32_t>(merge.right);
    ASSERT_EQ(table.find(left, right), merge.rank);
    ASSERT_EQ(table.id_of(merge.rank), static_cast<uint32_t>(merge.result));
    ASSERT_EQ(table.find(left, right + 11), MergeTable::kNone);
    ASSERT_EQ(table.find(left, MergeTable::kNoToken), MergeTable::kNone);
  }
}

}  // namespace
}  // namespace lathe

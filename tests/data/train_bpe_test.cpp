#include "data/tokenize/train_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenize/tokenizer.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Line after line, as the reference reads files.
WordCounts count_lines(const std::string& text,
                       Splitter::Pattern pattern = Splitter::Pattern::kGpt2) {
  WordCounts words(pattern);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    words.add(std::string_view(text).substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::string joined_tokens(const TrainedBpe& trained) {
  std::string all;
  for (const std::string& token : trained.tokens) all += (all.empty() ? "" : " ") + token;
  return all;
}

std::string joined_merges(const TrainedBpe& trained) {
  std::string all;
  for (const auto& [left, right] : trained.merges) {
    all += (all.empty() ? "" : " | ") + trained.tokens[left] + " " + trained.tokens[right];
  }
  return all;
}

TEST(TrainBpe, EqualsTheReferencesTrainer) {
  const json golden = json::parse(read_file(LATHE_SOURCE_DIR "/tests/data/bpe_golden.json"));
  const WordCounts words = count_lines(golden["text"]);
  int num_cases = 0;
  for (const json& want : golden["cases"]) {
    BpeTraining options;
    options.vocab_size = want["vocab_size"];
    options.min_frequency = want["min_frequency"];
    options.special_tokens = want["special_tokens"].get<std::vector<std::string>>();
    options.all_bytes = want["all_bytes"];
    options.limit_alphabet = want["limit_alphabet"];
    const TrainedBpe trained = train_bpe(words, options);
    EXPECT_EQ(joined_tokens(trained), want["tokens"].get<std::string>());
    EXPECT_EQ(joined_merges(trained), want["merges"].get<std::string>());
    ++num_cases;
  }
  EXPECT_EQ(num_cases, 4);
}

TEST(TrainBpe, WritesATokenizerThatGivesTheTextBack) {
  const std::string text = "the theme then they 你好 😀\r\n 12345 it's\x01";
  for (const auto pattern :
       {Splitter::Pattern::kGpt2, Splitter::Pattern::kLlama3, Splitter::Pattern::kQwen2}) {
    const TrainedBpe trained =
        train_bpe(count_lines(text, pattern),
                  {.vocab_size = 270, .min_frequency = 1, .special_tokens = {"<end>"}});
    ASSERT_EQ(trained.tokens.size(), 270u);
    TestFolder folder;
    write_text(folder / "tokenizer.json", tokenizer_json(trained, pattern));
    const Tokenizer tokenizer(folder / "tokenizer.json");
    EXPECT_EQ(tokenizer.vocab_size(), 270);
    const std::vector<int32_t> ids = tokenizer.encode(text + "<end>", true);
    EXPECT_EQ(ids.back(), 0);
    EXPECT_TRUE(tokenizer.is_special(0));
    EXPECT_LT(ids.size(), text.size());
    EXPECT_EQ(tokenizer.decode(ids, false), text + "<end>");
  }
}

TEST(TrainBpe, CountsAreTheSameHoweverTheTextsAreDealt) {
  WordCounts all(Splitter::Pattern::kGpt2), one(Splitter::Pattern::kGpt2),
      two(Splitter::Pattern::kGpt2);
  for (const char* text : {"a b a", "b c"}) all.add(text);
  one.add("a b a");
  two.add("b c");
  one.add(two);
  EXPECT_EQ(one.counts(), all.counts());
  EXPECT_EQ(one.words(), 5);
  EXPECT_EQ(all.counts().at(" b"), 1);
}

TEST(TrainBpe, SaysWhatCanNotBeTrained) {
  WordCounts words(Splitter::Pattern::kGpt2);
  EXPECT_THAT(message_of([&] { train_bpe(words, {}); }), HasSubstr("hold no word"));
  EXPECT_THAT(message_of([&] { words.add("\xff"); }), HasSubstr("not valid UTF-8"));
  words.add("a a");
  EXPECT_THAT(message_of([&] { train_bpe(words, {.vocab_size = 100}); }),
              HasSubstr("vocab_size is 100; expected 256"));
  EXPECT_THAT(message_of([&] { train_bpe(words, {.min_frequency = -1}); }),
              HasSubstr("can not be negative"));
  // Nothing to merge is no fault: the alphabet alone is a tokenizer.
  EXPECT_EQ(train_bpe(words, {.vocab_size = 300}).tokens.size(), 256u);
}

}  // namespace
}  // namespace lathe

#include "data/tokenize/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"

namespace lathe {
namespace {

using nlohmann::json;

std::vector<json> read_jsonl(const std::string& path) {
  std::vector<json> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) rows.push_back(json::parse(line));
  return rows;
}

// Every text's ids equal the golden ones; spans rise and do not overlap; what is cut out by them is
// the text.
void expect_golden(const Tokenizer& tokenizer, const std::string& path, bool add_special_tokens,
                   size_t num_texts) {
  const std::vector<json> rows = read_jsonl(path);
  ASSERT_EQ(rows.size(), num_texts) << path;
  for (const json& row : rows) {
    const std::string text = row.at("text");
    const auto want = row.at("ids").get<std::vector<int32_t>>();
    const Encoding encoding = tokenizer.encode_with_offsets(text, add_special_tokens);
    ASSERT_EQ(encoding.ids, want) << path << ": " << text;
    ASSERT_EQ(tokenizer.encode(text, add_special_tokens), want);
    uint32_t done = 0;
    for (size_t i = 0; i < encoding.ids.size(); ++i) {
      ASSERT_LE(done, encoding.begin[i]) << text;
      ASSERT_LE(encoding.begin[i], encoding.end[i]) << text;
      done = encoding.end[i];
    }
    ASSERT_LE(done, text.size());
  }
}

struct Golden {
  const char *tokenizer, *texts;
  bool round_trip;  // decode gives the text back
};

TEST(TokenizerGolden, EqualsTheReferenceOnEveryHardText) {
  if (!have_shared("data/tokenizers/golden")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const Golden& golden : {Golden{"minimind", "minimind", true},
                               {"torchtitan-2k/tokenizer.json", "torchtitan_test", false},
                               {"llama2", "llama2_dolma_fixture", false},
                               {"phi3", "phi3", false}}) {
    SCOPED_TRACE(golden.tokenizer);
    const Tokenizer tokenizer(shared_path(std::string("data/tokenizers/") + golden.tokenizer));
    const std::string path =
        shared_path(std::string("data/tokenizers/golden/") + golden.texts + ".jsonl");
    expect_golden(tokenizer, path, false, 292);
    for (const json& row : read_jsonl(path)) {
      const std::string text = row.at("text");
      if (golden.round_trip)
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false), false), text);
    }
  }
}

TEST(TokenizerGolden, EqualsTheReferenceOnStories) {
  if (!have_shared("fixtures/stories")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/models/stories260K-hf"));
  EXPECT_EQ(tokenizer.vocab_size(), 512);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  const std::string path = shared_path("fixtures/stories/tokens.jsonl");
  expect_golden(tokenizer, path, true, read_jsonl(path).size());
  for (const json& row : read_jsonl(path)) {
    EXPECT_EQ(tokenizer.decode(row.at("ids"), true), row.at("text").get<std::string>());
  }
}

}  // namespace
}  // namespace lathe

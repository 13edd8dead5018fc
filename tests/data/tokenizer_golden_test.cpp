#include "data/tokenize/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/shards/file.h"
#include "tests/data/sha256.h"
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

std::string read_gzip(const std::string& path) {
  std::string text;
  FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
  char buffer[4096];
  for (size_t n; pipe && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  if (pipe) pclose(pipe);
  return text;
}

// qwen2.5 and qwen3 bring only their tokenizer_config.json: the vocabulary is qwen2's.
std::string folder_of(const std::string& tokenizer) {
  const std::string folder = shared_path("data/tokenizers/" + tokenizer);
  if (tokenizer != "qwen2.5" && tokenizer != "qwen3") return folder;
  const std::filesystem::path made =
      std::filesystem::path(testing::TempDir()) / ("lathe_" + tokenizer);
  std::filesystem::create_directories(made);
  for (const std::string file : {"vocab.json", "merges.txt"}) {
    std::filesystem::remove(made / file);
    std::filesystem::create_symlink(
        std::filesystem::absolute(shared_path("data/tokenizers/qwen2/" + file)), made / file);
  }
  std::ofstream(made / "tokenizer_config.json") << read_file(folder + "/tokenizer_config.json");
  return made.string();
}

struct Golden {
  const char *tokenizer, *texts;
  bool round_trip;  // decode gives the text back
};

// llama2 and phi3 do not give the spaces around special tokens back, nor does the reference.
constexpr Golden kGolden[] = {{"gpt2", "gpt2", true},
                              {"qwen2", "qwen2", false},
                              {"qwen3", "qwen3", false},
                              {"minimind", "minimind", true},
                              {"torchtitan-2k/tokenizer.json", "torchtitan_test", false},
                              {"llama2", "llama2_dolma_fixture", false},
                              {"phi3", "phi3", false}};

TEST(TokenizerGolden, EqualsTheReferenceOnEveryHardText) {
  if (!have_shared("data/tokenizers/golden")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.tokenizer);
    const Tokenizer tokenizer(folder_of(golden.tokenizer));
    const std::string path =
        shared_path(std::string("data/tokenizers/golden/") + golden.texts + ".jsonl");
    expect_golden(tokenizer, path, false, 292);
    for (const json& row : read_jsonl(path)) {
      const std::string text = row.at("text");
      if (!golden.round_trip) continue;
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false), false), text);
    }
  }
}

TEST(TokenizerGolden, EqualsTheReferenceOnWholeFiles) {
  if (!have_shared("data/tokenizers/golden")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::map<std::string, std::string> files = {{"tinyshakespeare", "text/tinyshakespeare.txt"},
                                                    {"war-and-peace", "text/war-and-peace.txt"},
                                                    {"lunyu.json", "text/zh/lunyu.json"},
                                                    {"HumanEval.jsonl", "eval/HumanEval.jsonl.gz"},
                                                    {"c4_demo.jsonl", "text/c4_demo.jsonl"}};
  const json sums =
      json::parse(read_file(shared_path("data/tokenizers/golden/corpus_checksums.json")));
  int num_files = 0;
  for (const Golden& golden : kGolden) {
    const Tokenizer tokenizer(folder_of(golden.tokenizer));
    for (const auto& [name, want] : sums.at(golden.texts).items()) {
      const std::string text = files.at(name).ends_with(".gz")
                                   ? read_gzip(shared_path("data/" + files.at(name)))
                                   : read_file(shared_path("data/" + files.at(name)));
      ASSERT_EQ(text.size(), want.at("bytes").get<size_t>()) << name;
      const std::vector<int32_t> ids = tokenizer.encode(text, false);
      EXPECT_EQ(ids.size(), want.at("n_tokens").get<size_t>());
      const std::string bytes(reinterpret_cast<const char*>(ids.data()),
                              ids.size() * sizeof(int32_t));
      EXPECT_EQ(sha256_hex(bytes), want.at("sha256_u32le").get<std::string>())
          << golden.tokenizer << " " << name;
      ++num_files;
    }
  }
  EXPECT_EQ(num_files, 33);
}

// Texts between lines __ggml_vocab_test__, and a line of ids for each.
TEST(TokenizerGolden, EqualsTheReferenceOnLlamaCppsVectors) {
  if (!have_shared("data/tokenizers/vectors")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string mark = "\n__ggml_vocab_test__\n";
  for (const auto& [tokenizer, vectors] :
       std::map<std::string, std::string>{{"gpt2", "gpt-2"},
                                          {"qwen2", "qwen2"},
                                          {"llama2/tokenizer.model", "llama-spm"},
                                          {"llama2", "llama-spm"},
                                          {"phi3", "phi-3"}}) {
    SCOPED_TRACE(vectors);
    const Tokenizer subject(folder_of(tokenizer));
    const std::string base = shared_path("data/tokenizers/vectors/" + vectors);
    const std::string texts = read_file(base + ".inp");
    std::ifstream ids(base + ".out");
    int num_texts = 0;
    for (size_t at = 0, end; (end = texts.find(mark, at)) != std::string::npos;
         at = end + mark.size(), ++num_texts) {
      std::string line;
      ASSERT_TRUE(std::getline(ids, line));
      std::istringstream numbers(line);
      const std::vector<int32_t> want{std::istream_iterator<int32_t>(numbers),
                                      std::istream_iterator<int32_t>()};
      EXPECT_EQ(subject.encode(texts.substr(at, end - at), false), want)
          << texts.substr(at, end - at);
    }
    EXPECT_EQ(num_texts, 46);
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

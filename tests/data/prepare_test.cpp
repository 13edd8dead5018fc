#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/loader/loader.h"
#include "data/prepare_record.h"
#include "tests/data/folder.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Six words and an end: ids 0 to 6 of a word-level vocabulary as byte-level BPE without merges.
void write_tokenizer(const std::string& folder) {
  std::filesystem::create_directory(folder);
  json vocab = json::object();
  const std::string letters = "abcdefghijklmnopqrstuvwxyz<>|_";
  for (size_t i = 0; i < letters.size(); ++i) vocab[std::string(1, letters[i])] = i;
  vocab["\u0120"] = 30;  // the space
  vocab["\u010a"] = 31;  // the line end
  const auto special = [](int id, const char* content) {
    return json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  const json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", {special(32, "<|im_start|>"), special(33, "<|im_end|>")}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"trim_offsets", false},
        {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"trim_offsets", false},
        {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"vocab", vocab},
        {"merges", json::array()}}}};
  write_text(folder + "/tokenizer.json", tokenizer.dump());
  write_text(folder + "/tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
}

class Prepare : public testing::Test {
 protected:
  Prepare() { write_tokenizer(folder_ / "tokenizer"); }

  PrepareOptions options_for(const std::string& text) {
    write_text(folder_ / "in.jsonl", text);
    PrepareOptions options;
    options.files = {folder_ / "in.jsonl"};
    return options;
  }
  PrepareReport run(const PrepareOptions& options, const std::string& out = "out") {
    return prepare(options, Tokenizer(folder_ / "tokenizer"), folder_ / out);
  }
  // Ids and mask of a document of the data set that run() made.
  std::pair<std::vector<int64_t>, std::vector<uint8_t>> document(int64_t d) {
    const Dataset dataset(folder_ / "out", Tokenizer(folder_ / "tokenizer").hash());
    const Dataset::Place place = dataset.place(d);
    const auto begin = static_cast<int64_t>(place.shard->offsets()[place.document]);
    std::vector<int64_t> ids(dataset.length(d));
    std::vector<uint8_t> mask(ids.size());
    place.shard->read("sequence", begin, begin + dataset.length(d), ids.data(), mask.data());
    return {ids, mask};
  }

  TestFolder folder_;
};

TEST_F(Prepare, EndsTextsWithEos) {
  const PrepareReport report =
      run(options_for("{\"text\": \"abc\"}\n{\"text\": \"\"}\n{\"text\": \"d\"}"));
  EXPECT_EQ(document(0).first, (std::vector<int64_t>{0, 1, 2, 33}));
  EXPECT_EQ(document(1).first, (std::vector<int64_t>{3, 33}));
  EXPECT_EQ(report.read, 3);
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.empty, 1);
  EXPECT_EQ(report.tokens, 6);
  EXPECT_EQ(report.targets, 4);
  EXPECT_EQ(report.first_dropped, (std::vector<std::string>{folder_ / "in.jsonl:2: no token"}));
  EXPECT_THAT(report.shape_reason, HasSubstr("taken as text"));
}

TEST_F(Prepare, TrainsOnWhatTheAssistantSays) {
  run(options_for(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}]})"));
  const auto [ids, mask] = document(0);
  std::vector<int64_t> trained;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (mask[i]) trained.push_back(ids[i]);
  }
  EXPECT_EQ(ids[0], 32);
  // The answer and its end of turn; the line end behind it is the template's affair.
  ASSERT_GE(trained.size(), 3U);
  trained.resize(3);
  EXPECT_EQ(trained, (std::vector<int64_t>{1, 2, 33}));
}

using Ids = std::vector<int64_t>;

TEST_F(Prepare, TrainsOnTheCompletionOfAPair) {
  PrepareOptions options = options_for(R"({"prompt": "ab", "completion": "cd"})");
  run(options);
  EXPECT_EQ(document(0).first, (Ids{0, 1, 2, 3, 33}));
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{0, 0, 1, 1, 1}));
  std::filesystem::remove_all(folder_ / "out");
  options.assistant_only_loss = false;
  run(options);
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{1, 1, 1, 1, 1}));
}

TEST_F(Prepare, TrainsOnTheTurnsThatTheRecordNames) {
  PrepareOptions options = options_for(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})");
  write_text(folder_ / "t.jinja",
             "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
             "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}");
  options.chat_template = folder_ / "t.jinja";
  run(options);
  EXPECT_EQ(document(0).first, (Ids{0, 1, 2, 3}));
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{0, 0, 0, 1}));
  const Tokenizer tokenizer(folder_ / "tokenizer");
  EXPECT_EQ(read_manifest(folder_ / "out").template_hash,
            ChatFormat::hash(tokenizer, options.chat_template));
}

TEST_F(Prepare, MarksThatAreNotKnownStopIt) {
  PrepareOptions options = options_for(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]})");
  write_text(folder_ / "t.jinja", "{{ messages | length }}");
  options.chat_template = folder_ / "t.jinja";
  EXPECT_THAT(
      message_of([&] { run(options); }),
      testing::AllOf(testing::StartsWith(folder_ / "in.jsonl:1: it is not known which part"),
                     HasSubstr("set data.assistant_only_loss to false")));
  options.assistant_only_loss = false;
  write_text(folder_ / "t.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  run(options);
  EXPECT_EQ(document(0).first, (Ids{0, 1, 2}));
}

TEST_F(Prepare, TakesPretokenisedRecordsAsTheyAre) {
  const PrepareReport report = run(options_for(
      "{\"input_ids\": [5, 6, 7], \"labels\": [-100, 6, -100]}\n{\"input_ids\": [1, 2]}\n"
      "{\"input_ids\": [1, 2], \"labels\": [1, -100]}\n{\"input_ids\": [1]}\n{\"input_ids\": []}"));
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{0, 1, 0}));
  EXPECT_EQ(document(1).second, (std::vector<uint8_t>{1, 1}));
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.all_masked, 2);
  EXPECT_EQ(report.empty, 1);
  EXPECT_EQ(report.first_dropped[0], folder_ / "in.jsonl:3: no token to train on");
}

TEST_F(Prepare, CutsCountsAndDropsWhatHasNoTargetLeft) {
  PrepareOptions options = options_for(
      "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, 4]}\n{\"input_ids\": [1, 2, 3, "
      "4]}");
  options.max_length = 3;
  const PrepareReport report = run(options);
  EXPECT_EQ(document(0).first, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(report.cut, 2);
  EXPECT_EQ(report.all_masked, 1);
  EXPECT_THAT(report.first_dropped[0], HasSubstr("after the cut to max_length"));
}

TEST_F(Prepare, IsByteIdenticalForAnyNumberOfThreads) {
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text +=
        fmt::format("{{\"text\": \"{}\"}}\n", std::string(i % 37, static_cast<char>('a' + i % 26)));
  PrepareOptions options = options_for(text);
  options.shard_tokens = 100000;
  run(options, "one");
  const DatasetManifest manifest = read_manifest(folder_ / "one");
  ASSERT_EQ(manifest.shards.size(), 4U);
  for (const int threads : {2, 5}) {
    options.threads = threads;
    run(options, "many");
    int compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "one")) {
      EXPECT_EQ(read_text(entry.path()),
                read_text(folder_ / "many/" + entry.path().filename().string()));
      ++compared;
    }
    EXPECT_EQ(compared, 5);
    std::filesystem::remove_all(folder_ / "many");
  }
}

TEST_F(Prepare, FaultsNameTheLineAndLeaveNothing) {
  const auto fault = [&](const std::string& text) {
    const std::string message = message_of([&] { run(options_for(text)); });
    int64_t entries = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      entries += entry.exists();
    EXPECT_EQ(entries, 2) << text;  // the tokenizer and the input
    return message;
  };
  EXPECT_THAT(
      fault("{\"input_ids\": [1]}\n{\"input_ids\": [34]}"),
      HasSubstr("in.jsonl:2: input_ids[0]: found 34, expected an id of the tokenizer, 0 to 33"));
  EXPECT_THAT(fault("{\"input_ids\": [-1]}"), HasSubstr("in.jsonl:1: input_ids[0]: found -1"));
  EXPECT_THAT(fault("{\"text\": \"a\"}\n{\"text\": 1}"),
              HasSubstr("in.jsonl:2: text: found the number 1"));
  EXPECT_THAT(
      fault(
          R"({"messages": [{"role": "nobody", "content": "a"}, {"role": "assistant", "content": "b"}]})"),
      HasSubstr("in.jsonl:1: "));
  EXPECT_THAT(fault(""), HasSubstr("no record is left of 0 read"));
  EXPECT_THAT(
      fault("{\"text\": \"\"}"),
      HasSubstr("no record is left of 1 read (1 empty, 0 with nothing to train on); first: "));
}

TEST_F(Prepare, RefusesFilesOfTwoShapesAndFoldersThatAreThere) {
  PrepareOptions options = options_for("{\"text\": \"a\"}");
  write_text(folder_ / "b.jsonl", "{\"input_ids\": [1, 2]}");
  options.files.push_back(folder_ / "b.jsonl");
  EXPECT_THAT(message_of([&] { run(options); }), HasSubstr("b.jsonl: has the shape tokens, but "));
  options.files.pop_back();
  run(options);
  EXPECT_THAT(message_of([&] { run(options); }), HasSubstr("out: is there already"));
}

TEST_F(Prepare, CacheKeyChangesWithWhatDecidesTokens) {
  const Tokenizer tokenizer(folder_ / "tokenizer");
  PrepareOptions options = options_for("{\"text\": \"a\"}");
  const std::string key = cache_key(options, tokenizer);
  EXPECT_EQ(key.size(), 16U);
  options.threads = 7;
  EXPECT_EQ(cache_key(options, tokenizer), key);
  options.max_length = 7;
  EXPECT_NE(cache_key(options, tokenizer), key);
  options.max_length = 1024;
  EXPECT_EQ(cache_key(options, tokenizer), key);
  options.chat_template = "llama3";
  EXPECT_NE(cache_key(options, tokenizer), key);
  options = options_for("{\"text\": \"b\"}");
  EXPECT_NE(cache_key(options, tokenizer), key);
}

TEST_F(Prepare, PacksGsm8kWithLessThanOnePercentWaste) {
  if (!have_shared("data/sft/gsm8k_train.jsonl") ||
      !have_shared("data/tokenizers/phi3/tokenizer.json")) {
    GTEST_SKIP() << "NOT RUN: ../shared is not there";
  }
  PrepareOptions options;
  options.files = {shared_path("data/sft/gsm8k_train.jsonl")};
  options.max_length = 2048;
  options.threads = 2;
  const Tokenizer tokenizer(shared_path("data/tokenizers/phi3"));
  const PrepareReport report = prepare(options, tokenizer, folder_ / "out");
  EXPECT_EQ(report.kept, 7473);
  LoaderOptions loading;
  loading.max_length = 2048;
  loading.prefetch = 0;
  const Loader loader({std::make_shared<const Dataset>(folder_ / "out", tokenizer.hash())}, {},
                      loading);
  EXPECT_EQ(loader.report().tokens, report.tokens);
  EXPECT_EQ(loader.report().targets, report.targets);
  EXPECT_LT(loader.report().waste, 0.01);
  RecordProperty("waste", std::to_string(loader.report().waste));
}

}  // namespace
}  // namespace lathe

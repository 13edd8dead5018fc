#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/curate/curate.h"
#include "data/loader/loader.h"
#include "data/prepare_folder.h"
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
  PrepareOptions options = options_for(
      "{\"input_ids\": [5, 6, 7], \"labels\": [-100, 6, -100]}\n{\"input_ids\": [1, 2]}\n"
      "{\"input_ids\": [1, 2], \"labels\": [1, -100]}\n{\"input_ids\": [1]}\n{\"input_ids\": []}");
  options.max_all_masked = 1;
  const PrepareReport report = run(options);
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{0, 1, 0}));
  EXPECT_EQ(document(1).second, (std::vector<uint8_t>{1, 1}));
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.all_masked, 2);
  EXPECT_EQ(report.empty, 1);
  EXPECT_EQ(report.first_dropped[0], folder_ / "in.jsonl:3: no token to train on");
}

TEST_F(Prepare, TrainsOnTheSegmentsThatAreLabelled) {
  PrepareOptions options = options_for(
      R"({"segments": [{"label": false, "text": "ab"}, {"label": true, "text": "cd<|im_end|>"}, {"label": false, "text": "e"}]})");
  run(options);
  EXPECT_EQ(document(0).first, (Ids{0, 1, 2, 3, 33, 4})) << "nothing is added";
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{0, 0, 1, 1, 1, 0}));
  std::filesystem::remove_all(folder_ / "out");
  options.assistant_only_loss = false;
  run(options);
  EXPECT_EQ(document(0).second, (std::vector<uint8_t>{1, 1, 1, 1, 1, 1}));
}

TEST_F(Prepare, CutsCountsAndDropsWhatHasNoTargetLeft) {
  PrepareOptions options = options_for(
      "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, 4]}\n{\"input_ids\": [1, 2, 3, "
      "4]}");
  options.max_length = 3;
  options.max_all_masked = 0.5;
  const PrepareReport report = run(options);
  EXPECT_EQ(document(0).first, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(report.cut, 2);
  EXPECT_EQ(report.all_masked, 1);
  EXPECT_THAT(report.first_dropped[0], HasSubstr("after the cut to max_length"));
  EXPECT_EQ(report.first_cut,
            (std::vector<std::string>{folder_ / "in.jsonl:1", folder_ / "in.jsonl:2"}));
  options.max_all_masked = 0.49;
  EXPECT_THAT(message_of([&] { run(options, "other"); }),
              HasSubstr("1 of 2 records have no token to train on (50.0 %), more than "
                        "data.max_all_masked 0.49 allows"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "other.partial"));
}

// One text under two names, prepared into one cache by two runs at once.
TEST_F(Prepare, WhoEndsSecondTakesTheSameTokensOfAnother) {
  const std::string path = folder_ / "out";
  WorkFolder first(path, "key"), second(path, "key"), third(path, "key");
  DatasetManifest manifest{.vocab_size = 32, .report = R"({"first_cut": ["a.jsonl:1"]})"};
  first.publish(manifest);
  manifest.report = R"({"first_cut": ["b.jsonl:1"]})";
  second.publish(manifest);
  EXPECT_THAT(read_manifest(path).report, HasSubstr("a.jsonl:1"));
  manifest.vocab_size = 33;
  EXPECT_THAT(message_of([&] { third.publish(manifest); }), HasSubstr("rename"));
}

TEST_F(Prepare, OverlongRecordsMeetTheirPolicy) {
  PrepareOptions options = options_for(
      "{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 2, 3, 4, 5, 6, 7], \"labels\": [-100, -100, "
      "-100, -100, -100, 6, 7]}\n{\"input_ids\": [5, 6]}");
  options.max_length = 3;
  options.max_all_masked = 1;
  options.on_overlong = OnOverlong::kError;
  EXPECT_THAT(message_of([&] { run(options, "error"); }),
              HasSubstr("in.jsonl:2: 7 tokens, more than max_length 3; raise data.max_length"));
  options.on_overlong = OnOverlong::kDrop;
  PrepareReport report = run(options, "drop");
  EXPECT_EQ(report.kept, 2);
  EXPECT_EQ(report.too_long, 1);
  EXPECT_THAT(report.first_dropped[0], HasSubstr("in.jsonl:2: 7 tokens"));
  options.on_overlong = OnOverlong::kSplit;
  report = run(options);
  EXPECT_EQ(report.kept, 3);
  EXPECT_EQ(report.cut, 1);
  // [1 2 3] has no target, [7] none behind its first token.
  EXPECT_EQ(report.documents, 3);
  EXPECT_EQ(document(0).first, (Ids{1, 2}));
  EXPECT_EQ(document(1).first, (Ids{4, 5, 6}));
  EXPECT_EQ(document(2).first, (Ids{5, 6}));
  EXPECT_EQ(report.targets, 3);
}

TEST_F(Prepare, BadRecordsAreSkippedUpToTheLimit) {
  PrepareOptions options = options_for(
      "{broken\n{\"text\": \"a\"}\n{\"text\": 7}\n{\"text\": \"b\"}\n{\"text\": \"c\xff\"}\n");
  EXPECT_THAT(message_of([&] { run(options); }), HasSubstr("in.jsonl:1: found broken JSON"));
  options.on_bad_record = OnBadRecord::kSkip;
  EXPECT_THAT(message_of([&] { run(options); }),
              HasSubstr("3 of 5 records are bad, more than data.max_bad_records 0.001 allows; "
                        "first: " +
                        (folder_ / "in.jsonl:1: ")));
  options.max_bad_records = 2;
  EXPECT_THAT(message_of([&] { run(options); }), HasSubstr("3 of 5 records are bad"));
  for (const double enough : {0.6, 3.0}) {
    options.max_bad_records = enough;
    std::filesystem::remove_all(folder_ / "out");
    const PrepareReport report = run(options);
    EXPECT_EQ(report.bad, 3);
    EXPECT_EQ(report.kept, 2);
    EXPECT_EQ(report.read, 5);
    EXPECT_EQ(document(1).first, (Ids{1, 33}));
    EXPECT_EQ(parse_report(read_manifest(folder_ / "out").report).first_dropped,
              report.first_dropped);
  }
  // What the tokenizer or template refuses is bad too.
  options = options_for("{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 99]}\n");
  options.on_bad_record = OnBadRecord::kSkip;
  options.max_bad_records = 1;
  std::filesystem::remove_all(folder_ / "out");
  EXPECT_EQ(run(options).bad, 1);
}

std::string numbered_texts(int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text +=
        fmt::format("{{\"text\": \"{}\"}}\n", std::string(i % 37, static_cast<char>('a' + i % 26)));
  return text;
}

void expect_same_folder(const std::string& a, const std::string& b, int files) {
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(a)) {
    EXPECT_EQ(read_file(entry.path()), read_file(b + "/" + entry.path().filename().string()));
    ++compared;
  }
  EXPECT_EQ(compared, files);
}

TEST_F(Prepare, IsByteIdenticalForAnyNumberOfThreads) {
  PrepareOptions options = options_for(numbered_texts(20000));
  options.shard_tokens = 100000;
  run(options, "one");
  const DatasetManifest manifest = read_manifest(folder_ / "one");
  ASSERT_EQ(manifest.shards.size(), 4U);
  for (const int threads : {2, 5}) {
    options.threads = threads;
    run(options, "many");
    expect_same_folder(folder_ / "one", folder_ / "many", 5);
    std::filesystem::remove_all(folder_ / "many");
  }
}

TEST_F(Prepare, AKilledRunGoesOnBehindItsFinishedShards) {
  PrepareOptions options = options_for(numbered_texts(20000));
  write_text(folder_ / "second.jsonl", numbered_texts(30000));
  options.files.push_back(folder_ / "second.jsonl");
  options.shard_tokens = 100000;
  run(options, "whole");
  ASSERT_EQ(read_manifest(folder_ / "whole").shards.size(), 10U);

  const std::string out = folder_ / "out", partial = folder_ / "out.partial";
  for (const char* shard : {"/shard-00002.h5", "/shard-00006.h5"}) {
    const pid_t child = fork();
    if (child == 0) {
      prepare(options, Tokenizer(folder_ / "tokenizer"), out, [&](int64_t, int64_t, int64_t) {
        if (std::filesystem::exists(partial + shard)) raise(SIGKILL);
      });
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << shard;
    ASSERT_TRUE(std::filesystem::exists(partial + shard));
  }
  EXPECT_FALSE(std::filesystem::exists(out));
  struct stat before {
  }, after{};
  ASSERT_EQ(stat((partial + "/shard-00006.h5").c_str(), &before), 0);
  write_text(partial + "/shard-00009.h5.tmp-1-2", "left over");

  options.threads = 2;
  int64_t records_at_start = -1;
  prepare(options, Tokenizer(folder_ / "tokenizer"), out, [&](int64_t, int64_t, int64_t records) {
    if (records_at_start < 0) records_at_start = records;
  });
  EXPECT_GT(records_at_start, 30000);
  ASSERT_EQ(stat((out + "/shard-00006.h5").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino) << "the finished shard is the one of the killed run";
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  expect_same_folder(folder_ / "whole", out, 11);
  EXPECT_FALSE(std::filesystem::exists(partial));
}

TEST_F(Prepare, AnotherRunDoesNotTakeUpWhatIsNotItsOwn) {
  PrepareOptions options = options_for(numbered_texts(20000));
  options.shard_tokens = 100000;
  const auto interrupted = [&] {
    struct Stop : std::runtime_error {
      using std::runtime_error::runtime_error;
    };
    EXPECT_THROW(prepare(options, Tokenizer(folder_ / "tokenizer"), folder_ / "out",
                         [&](int64_t, int64_t, int64_t) {
                           if (std::filesystem::exists(folder_ / "out.partial/shard-00001.h5"))
                             throw Stop("no more");
                         }),
                 Stop);
  };
  const auto records_at_start = [&] {
    int64_t first = -1;
    prepare(options, Tokenizer(folder_ / "tokenizer"), folder_ / "out",
            [&](int64_t, int64_t, int64_t records) { first = first < 0 ? records : first; });
    std::filesystem::remove_all(folder_ / "out");
    return first;
  };
  interrupted();
  options.append_eos = false;
  EXPECT_EQ(records_at_start(), 0) << "other options";
  options.append_eos = true;
  interrupted();
  write_byte(folder_ / "out.partial/shard-00000.h5", 20, 'x');
  EXPECT_EQ(records_at_start(), 0) << "a damaged shard";
  interrupted();
  write_text(folder_ / "out.partial/journal.json", "{");
  EXPECT_EQ(records_at_start(), 0) << "a damaged journal";
  interrupted();
  write_text(folder_ / "in.jsonl", numbered_texts(20001));
  EXPECT_EQ(records_at_start(), 0) << "another file";
  interrupted();
  EXPECT_GT(records_at_start(), 0);
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
  EXPECT_THAT(fault("{\"text\": \"\"}"),
              HasSubstr("no record is left of 1 read (0 bad, 0 too long, 1 empty, 0 with nothing "
                        "to train on); first: "));
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
  options.chat_template = "auto";
  options.reading.columns = {{"text", "body"}};
  EXPECT_NE(cache_key(options, tokenizer), key);
  options.reading.columns = {};
  options.reading.tags = {{"user_tag", "me"}};
  EXPECT_NE(cache_key(options, tokenizer), key);
  options.reading.tags = {};
  options.on_overlong = OnOverlong::kDrop;
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

// What was curated is counted in tokens, and the data set made of it says where its report is.
TEST_F(Prepare, TheManifestNamesTheReportOfTheCuration) {
  write_text(folder_ / "raw.jsonl",
             "{\"text\": \"abc def\"}\n{\"text\": \"abc def\"}\n{\"text\": \"ghi\"}\n");
  CurateOptions curation;
  curation.sources.resize(1);
  curation.sources[0].name = "raw";
  curation.sources[0].files = {folder_ / "raw.jsonl"};
  curation.tokenizer = folder_ / "tokenizer";
  curate(curation, folder_ / "curated");
  const json report = json::parse(read_file(folder_ / "curated/report.json"));
  EXPECT_EQ(report["funnel"][0]["tokens"], 17);
  EXPECT_EQ(report["funnel"][1]["behind"], "exact");
  EXPECT_EQ(report["funnel"][1]["tokens"], 10);
  const json lengths = report["histograms"][0];
  EXPECT_EQ(lengths["signal"], "tokens");
  EXPECT_EQ(lengths["counts"].front(), 1);  // 3 and 7
  EXPECT_EQ(lengths["counts"].back(), 1);
  curation.tokenizer = "";
  curate(curation, folder_ / "words");
  const json words = json::parse(read_file(folder_ / "words/report.json"));
  EXPECT_FALSE(words["funnel"][0].contains("tokens"));
  EXPECT_NE(words["histograms"][0]["signal"], "tokens");

  PrepareOptions options;
  options.files = expand_paths(folder_ / "curated/kept/raw");
  prepare(options, Tokenizer(folder_ / "tokenizer"), folder_ / "set");
  json manifest = json::parse(read_file(folder_ / "set/dataset.json"));
  EXPECT_EQ(manifest["report"]["curated_report"], folder_ / "curated/report.html");
  options.files.push_back(folder_ / "raw.jsonl");  // not all are curated
  prepare(options, Tokenizer(folder_ / "tokenizer"), folder_ / "both");
  manifest = json::parse(read_file(folder_ / "both/dataset.json"));
  EXPECT_FALSE(manifest["report"].contains("curated_report"));
}

}  // namespace
}  // namespace lathe

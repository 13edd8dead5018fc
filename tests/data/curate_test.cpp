// Raw files through all passes: nothing vanishes, threads and interruptions change nothing.
#include "data/curate/curate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "tests/data/folder.h"
#include "tests/shared.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string sentence(std::mt19937_64& random, int words) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    if (i > 0) text += ' ';
    for (uint64_t k = 0, n = 3 + random() % 6; k < n; ++k)
      text += static_cast<char>('a' + random() % 26);
  }
  return text + ".";
}

std::string document(std::mt19937_64& random) {
  std::string text = "the of and to be with that have. ";
  for (int i = 0; i < 12; ++i) text += sentence(random, 12) + (i % 4 == 3 ? "\n" : " ");
  return text;
}

std::string line_of(const std::string& text) { return json{{"text", text}}.dump() + "\n"; }

// All files below, by their path: {"kept/a/part-000000.jsonl": "..."}.
std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = read_file(entry.path().string());
  }
  return files;
}

std::vector<json> lines_below(const std::string& folder) {
  std::vector<json> lines;
  if (!fs::exists(folder)) return lines;
  for (const auto& [unused, text] : files_of(folder)) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      lines.push_back(json::parse(text.substr(at, end - at)));
      at = end + 1;
    }
  }
  return lines;
}

class Curate : public testing::Test {
 protected:
  // 60 documents: 50 fine ones, a copy with other punctuation, a near copy, short ones, broken
  // ones.
  Curate() {
    std::mt19937_64 random(5);
    std::string lines;
    for (int i = 0; i < 50; ++i) {
      texts_.push_back(document(random));
      lines += line_of(texts_.back());
    }
    std::string copy = texts_[7], near = texts_[9] + " One more sentence stands here.";
    for (char& c : copy) c = c == 'a' ? 'A' : c;
    lines += line_of(copy) + line_of(near);
    for (int i = 0; i < 6; ++i) lines += line_of(sentence(random, 5));
    lines += "{\"text\": 5}\n{\"text\": \"\xff\"}\n";
    write_text(folder_ / "a.jsonl", lines);
    options_.sources.push_back({.name = "a", .files = {folder_ / "a.jsonl"}});
    options_.sources[0].filters = {"gopher_quality"};
    options_.block_bytes = 4000;
  }

  CurateResult run(const std::string& name) { return curate(options_, folder_ / name); }

  TestFolder folder_;
  CurateOptions options_;
  std::vector<std::string> texts_;
};

TEST_F(Curate, KeptAndDroppedAreWhatWasReadEachWithItsReason) {
  const CurateResult result = run("out");
  EXPECT_EQ(result.read, 60);
  EXPECT_EQ(result.kept, 50);
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"bad_record", 2},
                                                               {"exact_duplicate", 1},
                                                               {"gopher_short_doc", 6},
                                                               {"near_duplicate", 1}}));
  const auto kept = lines_below(folder_ / "out/kept"),
             excluded = lines_below(folder_ / "out/excluded");
  EXPECT_EQ(kept.size(), 50u);
  EXPECT_EQ(excluded.size(), 10u);
  for (const json& line : kept) {
    EXPECT_EQ(line["curated"]["source"], "a");
    EXPECT_EQ(line["curated"]["tier"], "silver");
    EXPECT_EQ(line["curated"]["decisions"][0], "gopher_quality@1");
  }
  std::set<int64_t> numbers;
  for (const auto* lines : {&kept, &excluded}) {
    for (const json& line : *lines) numbers.insert(line["curated"]["number"].get<int64_t>());
  }
  EXPECT_EQ(numbers.size(), 60u);
  for (const json& line : excluded) {
    if (line["rule"] == "gopher_short_doc") {
      EXPECT_EQ(line["stage"], "gopher_quality");
      EXPECT_EQ(line["value"], 5);
      EXPECT_EQ(line["threshold"], 50);
    }
    // The longer of the near duplicates survives, the first of the exact ones.
    if (line["rule"] == "near_duplicate") { EXPECT_EQ(line["curated"]["number"], 9); }
    if (line["rule"] == "near_duplicate") { EXPECT_EQ(line["duplicate_of"], 51); }
    if (line["rule"] == "exact_duplicate") { EXPECT_EQ(line["duplicate_of"], 7); }
    if (line["rule"] == "bad_record") {
      EXPECT_NE(line["message"].get<std::string>().find("a.jsonl:"), std::string::npos);
    }
  }
}

TEST_F(Curate, AnyNumberOfThreadsAndAnySmallMemoryGivesTheSameBytes) {
  run("one");
  options_.threads = 3;
  run("three");
  options_.dedup_bytes = 100;  // many turns
  run("turns");
  const auto one = files_of(folder_ / "one");
  ASSERT_GT(one.size(), 10u);
  EXPECT_EQ(files_of(folder_ / "three"), one);
  EXPECT_EQ(files_of(folder_ / "turns"), one);
}

TEST_F(Curate, GoesOnBehindTheLastBlockAndMendsDamage) {
  run("whole");
  struct Stop {};
  for (const char* pass : {"measured", "written"}) {
    const std::string out = folder_ / pass;
    int blocks = 0;
    EXPECT_THROW(curate(options_, out,
                        [&](const char* p, int64_t, int64_t) {
                          if (std::string(p) == pass && ++blocks == 3) throw Stop();
                        }),
                 Stop);
    EXPECT_FALSE(fs::exists(out + "/kept"));
    const auto first = fs::last_write_time(out + "/signals/000001.sig");
    write_byte(out + "/signals/000002.sig", 200, '\x55');
    curate(options_, out);
    EXPECT_EQ(fs::last_write_time(out + "/signals/000001.sig"), first);
    EXPECT_EQ(files_of(out), files_of(folder_ / "whole"));
  }
}

TEST_F(Curate, ANewThresholdMeasuresNothingAnew) {
  run("out");
  EXPECT_TRUE(run("out").was_there);
  const auto measured = fs::last_write_time(folder_ / "out/signals/000000.sig");
  options_.thresholds["gopher_short_doc"] = 4;
  const CurateResult result = run("out");
  EXPECT_FALSE(result.was_there);
  EXPECT_EQ(fs::last_write_time(folder_ / "out/signals/000000.sig"), measured);
  EXPECT_FALSE(result.dropped_by.contains("gopher_short_doc"));
}

TEST_F(Curate, TheBetterTierSurvives) {
  write_text(folder_ / "gold.jsonl", line_of(texts_[3]));
  options_.sources.push_back(
      {.name = "gold", .files = {folder_ / "gold.jsonl"}, .tier = Tier::kGold});
  run("out");
  EXPECT_EQ(lines_below(folder_ / "out/kept/gold").size(), 1u);
  int found = 0;
  for (const json& line : lines_below(folder_ / "out/excluded/a"))
    found += line["rule"] == "exact_duplicate" && line["duplicate_of"] == 60;
  EXPECT_EQ(found, 1);
}

TEST_F(Curate, PersonalDataIsMaskedAndEvaluationItemsAreNamed) {
  std::mt19937_64 random(8);
  const std::string item = sentence(random, 20);
  write_text(folder_ / "eval.jsonl", json{{"id", "q7"}, {"question", item}}.dump() + "\n");
  write_text(folder_ / "b.jsonl", line_of(document(random) + item) +
                                      line_of(document(random) + "Write to me@mail.example now."));
  options_.sources = {{.name = "b", .files = {folder_ / "b.jsonl"}}};
  options_.sources[0].filters = {"contamination"};
  options_.evaluations = {{"quiz", {folder_ / "eval.jsonl"}, {}}};
  options_.pii = PiiAction::kMask;
  run("out");
  const auto excluded = lines_below(folder_ / "out/excluded"),
             kept = lines_below(folder_ / "out/kept");
  ASSERT_EQ(excluded.size(), 1u);
  EXPECT_EQ(excluded[0]["task"], "quiz");
  EXPECT_EQ(excluded[0]["item"], "q7");
  const std::string text = excluded[0]["record"]["text"];
  const size_t begin = excluded[0]["span"][0], end = excluded[0]["span"][1];
  EXPECT_TRUE(item.starts_with(text.substr(begin, end - begin).substr(0, 60)));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_NE(kept[0]["text"].get<std::string>().find("Write to <EMAIL> now."), std::string::npos);
}

TEST_F(Curate, ConversationsKeepTheirShape) {
  const json chat = {{"messages",
                      {{{"role", "user"}, {"content", "Hi, I am at 8.8.8.8"}},
                       {{"role", "assistant"}, {"content", "Good day."}}}}};
  const json refusal = {
      {"messages",
       {{{"role", "user"}, {"content", "Hi"}},
        {{"role", "assistant"}, {"content", "I'm sorry, but I can't help with that."}}}}};
  write_text(folder_ / "c.jsonl", chat.dump() + "\n" + refusal.dump() + "\n");
  options_.sources = {{.name = "c", .files = {folder_ / "c.jsonl"}}};
  options_.sources[0].filters = {"chat"};
  options_.pii = PiiAction::kMask;
  const CurateResult result = run("out");
  EXPECT_EQ(result.dropped_by, (std::map<std::string, int64_t>{{"chat_refusal", 1}}));
  const auto kept = lines_below(folder_ / "out/kept");
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0]["messages"][0]["content"], "Hi, I am at <IP>");
  EXPECT_EQ(kept[0]["messages"][1], chat["messages"][1]);
}

TEST_F(Curate, TheExcludedSayHowManyHadTheirAnswerBefore) {
  std::string lines;
  for (int i = 0; i < 4; ++i)
    lines += json{{"prompt", "question " + std::string(1, static_cast<char>('a' + i))},
                  {"completion", "The answer."}}
                 .dump() +
             "\n";
  write_text(folder_ / "d.jsonl", lines);
  options_.sources = {{.name = "d", .files = {folder_ / "d.jsonl"}}};
  options_.most_same_answers = 2;
  options_.exact = options_.near = false;
  run("out");
  const auto excluded = lines_below(folder_ / "out/excluded");
  ASSERT_EQ(excluded.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(excluded[i]["rule"], "same_answer");
    EXPECT_EQ(excluded[i]["value"], 3 + i);
    EXPECT_EQ(excluded[i]["threshold"], 2);
  }
}

TEST_F(Curate, WrongOptionsAreNamed) {
  options_.sources.push_back(options_.sources[0]);
  EXPECT_NE(message_of([&] { run("x"); }).find("two sources are called a"), std::string::npos);
  options_.sources.pop_back();
  options_.quality = "goodness";
  EXPECT_NE(message_of([&] { run("y"); }).find("`goodness` is no signal"), std::string::npos);
}

}  // namespace
}  // namespace lathe

#include "recipes/timetable.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "data/chat/chat.h"
#include "data/tokenize/tokenizer.h"
#include "tests/recipes/run_recipe.h"

namespace lathe {
namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

struct Folder {
  std::string path = testing::TempDir() + "timetable_test";
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(Timetable, AnswersFollowFromTheirQuestions) {
  const std::regex fare("What do (\\d+) adults? and (\\d+) child(?:ren)? pay.*"), pay("They pay (\\d+) crowns\\.");
  const std::regex time("The (\\d\\d):(\\d\\d) ferry .* (?:takes|is) (\\d+) minutes.*"), at(".* at (\\d\\d):(\\d\\d)\\.");
  int fares = 0, times = 0;
  for (const Question& question : timetable_questions(1, 500)) {
    std::smatch q, a;
    if (std::regex_match(question.text, q, fare)) {
      ASSERT_TRUE(std::regex_match(question.answer, a, pay)) << question.answer;
      EXPECT_EQ(std::stoi(a[1]), 7 * std::stoi(q[1]) + 4 * std::stoi(q[2])) << question.text;
      ++fares;
    } else {
      ASSERT_TRUE(std::regex_match(question.text, q, time)) << question.text;
      ASSERT_TRUE(std::regex_match(question.answer, a, at)) << question.answer;
      const int expected = (60 * std::stoi(q[1]) + std::stoi(q[2]) + std::stoi(q[3])) % (24 * 60);
      EXPECT_EQ(60 * std::stoi(a[1]) + std::stoi(a[2]), expected) << question.text;
      ++times;
    }
  }
  EXPECT_GT(fares, 100);
  EXPECT_GT(times, 200);
}

TEST(Timetable, HeldOutQuestionsAreNotTrainedOn) {
  const Folder folder;
  write_timetable(folder.path, 42, 1000, 100);
  const std::vector<std::string> train = lines_of(folder.path + "/train.jsonl");
  const std::vector<std::string> held_out = lines_of(folder.path + "/held_out.jsonl");
  ASSERT_EQ(train.size(), 1000u);
  ASSERT_EQ(held_out.size(), 100u);
  std::set<std::string> questions;
  for (const std::string& line : train) questions.insert(nlohmann::json::parse(line)["messages"][0]["content"]);
  EXPECT_EQ(questions.size(), 1000u);
  for (const std::string& line : held_out) {
    EXPECT_FALSE(questions.contains(nlohmann::json::parse(line)["messages"][0]["content"])) << line;
  }
}

TEST(Timetable, IsAPureFunctionOfTheSeed) {
  const Folder folder;
  write_timetable(folder.path + "/a", 7, 50, 10);
  write_timetable(folder.path + "/b", 7, 50, 10);
  write_timetable(folder.path + "/c", 8, 50, 10);
  EXPECT_EQ(lines_of(folder.path + "/a/train.jsonl"), lines_of(folder.path + "/b/train.jsonl"));
  EXPECT_EQ(lines_of(folder.path + "/a/model/tokenizer.json"), lines_of(folder.path + "/b/model/tokenizer.json"));
  EXPECT_NE(lines_of(folder.path + "/a/train.jsonl"), lines_of(folder.path + "/c/train.jsonl"));
}

TEST(Timetable, MoreQuestionsThanThereAreAreRefused) {
  EXPECT_THROW(timetable_questions(1, 10'000'000), std::invalid_argument);
}

TEST(Timetable, QuickstartWritesAsManyQuestionsAsItIsTold) {
  const Folder folder;
  RunConfig config;
  find_recipe("quickstart").defaults(config);
  config.recipe = "quickstart";
  config.output_dir = folder.path;
  config.data.cache_dir = folder.path + "/cache";
  config.data.max_length = 128;
  config.train.max_steps = 1;
  config.quickstart = {.num_train = 30, .num_held_out = 20};
  run_recipe(config, 2);
  EXPECT_EQ(lines_of(folder.path + "/timetable/train.jsonl").size(), 30u);
  EXPECT_EQ(lines_of(folder.path + "/timetable/held_out.jsonl").size(), 20u);
}

TEST(Timetable, ItsTokenizerSpellsWordsAndTimesAsWholeTokens) {
  const Folder folder;
  write_timetable(folder.path, 42, 1000, 10);
  const Tokenizer tokenizer(folder.path + "/model");
  const std::string text = "The 14:35 ferry from Brem to Aldis takes 40 minutes. When does it arrive?";
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  EXPECT_LE(ids.size(), 18u);
  EXPECT_EQ(tokenizer.decode(ids, false), text);
  EXPECT_EQ(tokenizer.eos(), tokenizer.id_of("<|im_end|>"));
}

}  // namespace
}  // namespace lathe

#include "recipes/synthesize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "recipes/new_prompts.h"
#include "recipes/stage_lines.h"
#include "tests/recipes/undecided_model.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"

namespace lathe {
namespace {

TEST(Synthesize, APromptIsTakenOnlyIfItIsNewAndFitForText) {
  SynthesizeConfig config;
  config.min_words = 2;
  config.max_words = 10;
  PromptPool pool({{"seed:0", "a b c d e f g h i j"}}, config);
  // ROUGE-L = 2 common / (10 + 10): 7 words in common reach 0.7, 6 do not.
  EXPECT_EQ(pool.add("made:0", "a b c d e f g k l m", true), "similar");
  EXPECT_EQ(pool.add("made:1", "a b c d e f k l m n", true), "");
  EXPECT_EQ(pool.add("made:2", "A, b c d e f k l m n!", true), "similar");
  EXPECT_EQ(pool.add("made:3", "one", true), "short");
  EXPECT_EQ(pool.add("made:4", "one two", true), "");
  EXPECT_EQ(pool.add("made:5", "1 2 3 4 5 6 7 8 9 10 11", true), "long");
  EXPECT_EQ(pool.add("made:6", "Please DRAW, a house", true), "blocked");
  EXPECT_EQ(pool.add("made:7", "Withdraw money please", true), "");
  EXPECT_EQ(pool.add("made:8", "Then go\nto town", true), "blocked");
  EXPECT_EQ(pool.add("made:9", "Say something else", false), "cut");
  EXPECT_EQ(pool.add("made:10", " \n", true), "empty");
  ASSERT_EQ(pool.made().size(), 3U);
  EXPECT_EQ(pool.made()[2].id, "made:7");
  EXPECT_EQ(
      pool.dropped(),
      (std::map<std::string, int64_t>{
          {"similar", 2}, {"short", 1}, {"long", 1}, {"blocked", 2}, {"cut", 1}, {"empty", 1}}));
}

TEST(Synthesize, DemonstrationsAreAFunctionOfSeedAndAttempt) {
  SynthesizeConfig config;
  const Demonstrations few = demonstrations_of(7, 3, 20, 1, config);
  EXPECT_EQ(few.seeds.size(), 6U);
  EXPECT_EQ(std::set<size_t>(few.seeds.begin(), few.seeds.end()).size(), 6U);
  EXPECT_TRUE(few.made.empty()) << "two are asked for, and there is one";
  EXPECT_EQ(demonstrations_of(7, 3, 20, 2, config).made.size(), 2U);
  EXPECT_EQ(demonstrations_of(7, 3, 20, 2, config).seeds, few.seeds);
  EXPECT_NE(demonstrations_of(7, 4, 20, 1, config).seeds, few.seeds);
  EXPECT_NE(demonstrations_of(8, 3, 20, 1, config).seeds, few.seeds);
  EXPECT_EQ(demonstrations_of(7, 3, 2, 0, config).seeds.size(), 2U);

  const TempFolder folder;
  config.prompt_template = folder / "template";
  std::ofstream(config.prompt_template) << "Like {demonstrations}And?";
  EXPECT_EQ(prompt_question({"Why?", "How?"}, config), "Like Task 1: Why?\nTask 2: How?\nAnd?");
  std::ofstream(config.prompt_template) << "Like";
  EXPECT_THAT(
      [&] { prompt_question({"Why?"}, config); },
      testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("has no {demonstrations}")));
}

RunConfig synthesis_of(const std::string &folder) {
  RunConfig config = base_config(folder);
  config.recipe = "synthesize";
  config.output_dir = folder + "/made";
  config.model.model_name_or_path = undecided_model(folder, /*as_task=*/true);
  config.data.train = {{.path = write_questions(folder + "/seeds.jsonl", {"yes"})}};
  synthesize_defaults(config);
  config.self_reward.num_generations = 6;
  config.self_reward.max_new_tokens = 8;
  config.self_reward.temperature = 1;
  config.self_reward.verifier = "exact";
  return config;
}

TEST(Synthesize, KeepsOnlyAnswersThatTheVerifierLetsPass) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = synthesis_of(folder.path());
  config.synthesize.round_size = 4;
  run_recipe(config, 1);
  const std::string text = file_of(config, "synthetic.jsonl");
  const JsonLines records = parse_lines(text);
  const nlohmann::json report = nlohmann::json::parse(file_of(config, "report.json"));
  EXPECT_EQ(report["prompts_answered"], 6);
  EXPECT_EQ(report["answers"], 36);
  EXPECT_GT(records.size(), 3U);
  EXPECT_EQ(records.size() + report["prompts_without_answer"].get<size_t>(), 6U);
  EXPECT_GT(report["answers_rejected"]["score"], 0);
  for (const Line &record : records) {
    EXPECT_EQ(record["messages"][1]["content"], "yes");
    EXPECT_EQ(record["tier"], "synthetic");
    EXPECT_EQ(record["generator"], config.model.model_name_or_path);
    ASSERT_TRUE(record["parents"].is_array());
    EXPECT_EQ(record["parents"].size(), 1U);
    EXPECT_TRUE(
        record["id"].get<std::string>().starts_with(record["parents"][0].get<std::string>() + "/"));
    EXPECT_EQ(record["temperature"], 1);
    EXPECT_EQ(record["score"], 1);
  }
  // Two ranks make the same; so does a run that lost its end.
  config.output_dir = folder / "two";
  run_recipe(config, 2);
  EXPECT_EQ(file_of(config, "synthetic.jsonl"), text);
  for (const char *lost : {"synthetic.jsonl", "synthetic.jsonl.stage.json", "report.json",
                           "report.json.stage.json", "stages/answers-4.jsonl.stage.json"})
    EXPECT_TRUE(std::filesystem::remove(config.output_dir + "/" + lost)) << lost;
  run_recipe(config, 1, /*stopped=*/true);
  run_recipe(config, 1);
  EXPECT_EQ(file_of(config, "synthetic.jsonl"), text);
  config.self_reward.temperature = 0.9;
  EXPECT_THAT([&] { run_recipe(config, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("other settings")));

  // What it made is data.
  RunConfig training = base_config(folder.path());
  training.output_dir = folder / "trained";
  training.data.train = {{.path = folder / "two/synthetic.jsonl"}};
  training.train.max_steps = 1;
  run_recipe(training, 1);
}

TEST(Synthesize, MakesPromptsOutOfSeedTasksAndAnswersThem) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = synthesis_of(folder.path());
  config.synthesize.num_prompts = 2;
  EXPECT_THAT([&] { run_recipe(config, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("no right answer")));
  config.synthesize.rejection = false;
  config.synthesize.answers_per_prompt = 2;
  config.synthesize.seed_demonstrations = 1;
  config.synthesize.own_demonstrations = 0;
  config.synthesize.round_size = 5;
  config.synthesize.min_words = 1;
  config.synthesize.prompt_template = folder / "template";
  config.synthesize.prompt_temperature = 1;
  std::ofstream(config.synthesize.prompt_template) << "{demonstrations}";
  run_recipe(config, 1);
  const JsonLines records = parse_lines(file_of(config, "synthetic.jsonl"));
  const nlohmann::json report = nlohmann::json::parse(file_of(config, "report.json"));
  int64_t dropped = 0;
  for (const auto &[reason, count] : report["prompts_dropped"].items())
    dropped += count.get<int64_t>();
  EXPECT_EQ(report["attempts"].get<int64_t>(), report["prompts_made"].get<int64_t>() + dropped);
  EXPECT_GE(report["prompts_made"], 2);
  EXPECT_EQ(report["prompts_answered"], 2);
  // It says yes or no, whatever it is asked for.
  std::set<std::string> prompts;
  for (const Line &record : records) {
    prompts.insert(record["messages"][0]["content"].get<std::string>());
    EXPECT_TRUE(record["id"].get<std::string>().starts_with("made:"));
    EXPECT_TRUE(record["parents"][0].get<std::string>().starts_with("seed:"));
    EXPECT_TRUE(record["score"].is_null());
  }
  EXPECT_EQ(prompts.size(), 2U);
  const std::string text = file_of(config, "synthetic.jsonl");
  config.output_dir = folder / "two";
  run_recipe(config, 2);
  EXPECT_EQ(file_of(config, "synthetic.jsonl"), text);
  config.output_dir = folder / "zero";
  config.parallel.zero = 3;
  run_recipe(config, 2);
  EXPECT_EQ(file_of(config, "synthetic.jsonl"), text);
  config.output_dir = folder / "cut";
  config.parallel.tp = 2;
  run_recipe(config, 4);
  EXPECT_EQ(file_of(config, "synthetic.jsonl"), text);
}

}  // namespace
}  // namespace lathe

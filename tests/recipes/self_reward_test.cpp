#include "recipes/self_reward.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "recipes/self_reward_stages.h"
#include "recipes/stage.h"
#include "tests/recipes/undecided_model.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

namespace lathe {
namespace {

TEST(SelfReward, AStageIsMadeOnceAndDamageIsNamed) {
  const TempFolder folder;
  on_ranks(2, [&](Mesh& mesh) {
    StageFolder stages(folder / "s", mesh.world());
    int made = 0;
    const auto make = [&] {
      ++made;
      return std::string("text of rank ") + std::to_string(mesh.world().rank());
    };
    EXPECT_EQ(stages.text("a", "in", make), "text of rank 0");
    EXPECT_EQ(stages.text("a", "in", make), "text of rank 0");
    EXPECT_EQ(made, 1);
    EXPECT_THAT(
        [&] { stages.text("a", "other", make); },
        testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("other settings")));
    mesh.world().barrier();
    if (mesh.world().rank() == 0) std::ofstream(folder / "s/a") << "changed";
    mesh.world().barrier();
    EXPECT_THAT([&] { stages.text("a", "in", make); },
                testing::ThrowsMessage<std::runtime_error>(
                    testing::HasSubstr("is not what its stage wrote")));
  });
}

RunConfig config_of(const std::string& folder, const std::string& model) {
  RunConfig config = base_config(folder);
  config.recipe = "self_reward";
  config.output_dir = folder + "/run";
  config.model.model_name_or_path = model;
  config.data.train = {{.path = write_questions(folder + "/prompts.jsonl", {"yes"})}};
  config.data.exact_match = config.data.train[0].path;
  config.train.per_device_train_batch_size = 4;
  config.train.max_steps = 3;
  config.optimizer.learning_rate = 3e-4;
  config.dpo.loss_type = {"irpo"};
  config.self_reward.num_generations = 6;
  config.self_reward.max_new_tokens = 8;
  config.self_reward.temperature = 1;
  config.self_reward.verifier = "exact";
  config.self_reward.selector = "correct_wrong";
  config.self_reward.pairs_per_prompt = 2;
  return config;
}

nlohmann::json report_of(const RunConfig& config, int64_t iteration) {
  return nlohmann::json::parse(
      file_of(config, "iteration-" + std::to_string(iteration) + "/report.json"));
}

// Answers' log-probabilities another way: the ids after those of the question.
class Asked {
 public:
  explicit Asked(const std::string& folder)
      : tokenizer_(folder),
        format_(tokenizer_, "auto"),
        model_(load_model(folder, at::kFloat, at::kCPU)) {}

  double log_prob(const nlohmann::json& prompt, const std::vector<int64_t>& answer) const {
    ScoreRequest request{.ids = ids(prompt.back().at("content"), ""), .first = 0};
    request.first = std::ssize(request.ids);
    request.ids.insert(request.ids.end(), answer.begin(), answer.end());
    return score(*model_, {request})[0].logprob;
  }
  // Of an answer as training reads it: its ids and what ends a turn.
  std::vector<int64_t> written(const nlohmann::json& prompt, const std::string& answer) const {
    const auto before = ids(prompt.back().at("content"), ""),
               whole = ids(prompt.back().at("content"), answer);
    return {whole.begin() + std::ssize(before), whole.end()};
  }

 private:
  std::vector<int64_t> ids(const std::string& question, const std::string& answer) const {
    Conversation talk{{{"user", question}}};
    if (!answer.empty()) talk.messages.push_back({"assistant", answer});
    const RenderedChat rendered = format_.render(talk, answer.empty());
    // Behind the end of the assistant's turn a template may write more that nobody learns.
    const size_t end = answer.empty() ? rendered.text.size()
                                      : format_.render(talk, false, true).assistant.back().second;
    const auto encoded = tokenizer_.encode(rendered.text.substr(0, end), false);
    return {encoded.begin(), encoded.end()};
  }

  Tokenizer tokenizer_;
  ChatFormat format_;
  std::unique_ptr<Model> model_;
};

// The run's first model, and what each iteration made.
std::string model_before(const RunConfig& config, int64_t iteration) {
  return iteration == 0
             ? config.model.model_name_or_path
             : config.output_dir + "/iteration-" + std::to_string(iteration - 1) + "/model";
}

void expect_log_prob_facts(const RunConfig& config, int64_t iteration) {
  const std::string folder = "iteration-" + std::to_string(iteration) + "/";
  const Asked start(model_before(config, 0)), before(model_before(config, iteration)),
      after(model_before(config, iteration + 1));
  const JsonLines prompts = parse_lines(file_of(config, folder + "prompts.jsonl")),
                  answers = parse_lines(file_of(config, folder + "samples.jsonl")),
                  pairs = parse_lines(file_of(config, folder + "pairs.jsonl"));
  double to_start = 0, of_training = 0, count = 0, tokens = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (const Line& answer : answers[i]["answers"]) {
      const nlohmann::json prompt = prompts[i]["prompt"];
      const auto ids = answer["ids"].get<std::vector<int64_t>>();
      const double said = before.log_prob(prompt, ids);
      to_start += said - start.log_prob(prompt, ids);
      of_training += said - after.log_prob(prompt, ids);
      count += 1;
      tokens += static_cast<double>(ids.size());
    }
  }
  double chosen = 0, rejected = 0;
  for (const Line& pair : pairs) {
    const nlohmann::json prompt = pair["prompt"];
    chosen += before.log_prob(prompt, before.written(prompt, pair["chosen"][0]["content"]));
    rejected += after.log_prob(prompt, after.written(prompt, pair["rejected"][0]["content"]));
  }
  const nlohmann::json report = report_of(config, iteration);
  const auto of_pairs = static_cast<double>(pairs.size());
  EXPECT_NEAR(report["kl_to_start"].get<double>(), to_start / count, 1e-4);
  EXPECT_NEAR(report["kl_to_start_per_token"].get<double>(), to_start / tokens, 1e-4);
  EXPECT_NEAR(report["kl_of_training"].get<double>(), of_training / count, 1e-4);
  EXPECT_NEAR(report["kl_of_training_per_token"].get<double>(), of_training / tokens, 1e-4);
  EXPECT_NEAR(report["logps_chosen_before"].get<double>(), chosen / of_pairs, 1e-4);
  EXPECT_NEAR(report["logps_rejected_after"].get<double>(), rejected / of_pairs, 1e-4);
}

TEST(SelfReward, LearnsWhatTheVerifierLikesAndARestartSkipsWhatIsFinished) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const std::string model = undecided_model(folder.path());
  RunConfig config = config_of(folder.path(), model);
  run_recipe(config, 1);
  const nlohmann::json first = report_of(config, 0), second = report_of(config, 1);
  EXPECT_EQ(first["prompts"], 6);
  EXPECT_EQ(first["answers"], 36);
  EXPECT_GT(first["pairs"].get<int64_t>(), 2);
  EXPECT_GT(first["eos_rate"].get<double>(), 0.5);
  EXPECT_EQ(first["samples"].size(), 3U);
  EXPECT_GT(second["mean_score"].get<double>(), first["mean_score"].get<double>());
  EXPECT_EQ(first["exact_match_after"], second["exact_match_before"]);
  EXPECT_TRUE(first["train"].contains("logps/chosen"));
  for (const int64_t iteration : {0, 1}) expect_log_prob_facts(config, iteration);
  EXPECT_EQ(first["kl_to_start"], 0);
  EXPECT_GT(std::abs(second["kl_to_start"].get<double>()), 1e-3);
  // Yes is chosen, what is not yes is rejected: all lengths of chosen answers lie in one bin.
  const nlohmann::json lengths = first["length_histogram"];
  EXPECT_EQ(lengths["low"], 2);
  EXPECT_EQ(lengths["chosen"][1 / lengths["width"].get<int64_t>()], first["pairs"]);
  const std::string page = file_of(config, "iteration-0/report.html");
  for (const char* part : {"<svg", "logps/chosen", "answers by score", "pairs by characters",
                           "kl_to_start", "How many?", "</html>"})
    EXPECT_THAT(page, testing::HasSubstr(part));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("<script")));
  const std::string weights = file_of(config, "model.safetensors");
  EXPECT_EQ(weights, file_of(config, "iteration-1/model/model.safetensors"));

  // The second iteration is lost from its scores on; the rest is taken up, and the same comes out.
  const auto kept =
      std::filesystem::last_write_time(config.output_dir + "/iteration-0/samples.jsonl");
  for (const char* lost : {"scores.jsonl.stage.json", "pairs.jsonl", "pairs.jsonl.stage.json",
                           "model.stage.json", "model", "report.json", "report.json.stage.json"}) {
    EXPECT_GT(std::filesystem::remove_all(config.output_dir + "/iteration-1/" + lost), 0U) << lost;
  }
  std::filesystem::remove(config.output_dir + "/model.safetensors");
  run_recipe(config, 1, /*stopped=*/true);
  run_recipe(config, 1);
  EXPECT_EQ(file_of(config, "model.safetensors"), weights);
  EXPECT_EQ(std::filesystem::last_write_time(config.output_dir + "/iteration-0/samples.jsonl"),
            kept);

  // Two ranks make the same stages out of the same model.
  RunConfig two = config;
  two.output_dir = folder / "two";
  two.self_reward.iterations = 1;
  run_recipe(two, 2);
  for (const char* name : {"kl_to_start", "logps_chosen_before", "logps_rejected_before"})
    EXPECT_EQ(report_of(two, 0)[name], first[name]) << name;
  for (const char* name : {"prompts.jsonl", "samples.jsonl", "scores.jsonl", "pairs.jsonl"})
    EXPECT_EQ(file_of(two, std::string("iteration-0/") + name),
              file_of(config, std::string("iteration-0/") + name))
        << name;

  config.self_reward.temperature = 0.9;
  EXPECT_THAT([&] { run_recipe(config, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("other settings")));
}

// Models that are cut over ranks, in sampling, in scoring and in training, say what a whole one says.
TEST(SelfReward, MakesTheSameStagesHoweverModelsAreCut) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const std::string model = undecided_model(folder.path());
  RunConfig config = config_of(folder.path(), model);
  config.self_reward.num_generations = 4;
  run_recipe(config, 1);
  struct Cut {
    int dp, tp, zero;
  };
  for (const Cut& cut : {Cut{2, 1, 2}, Cut{4, 1, 3}, Cut{1, 2, 1}, Cut{2, 2, 3}}) {
    SCOPED_TRACE(testing::Message() << "dp " << cut.dp << " tp " << cut.tp << " zero " << cut.zero);
    RunConfig other = config;
    other.output_dir = fmt::format("{}/{}-{}-{}", folder.path(), cut.dp, cut.tp, cut.zero);
    other.parallel.tp = cut.tp;
    other.parallel.zero = cut.zero;
    other.train.per_device_train_batch_size = 4 / cut.dp;
    run_recipe(other, cut.dp * cut.tp);
    for (const char* name : {"prompts.jsonl", "scores.jsonl", "pairs.jsonl"})
      EXPECT_EQ(file_of(other, std::string("iteration-0/") + name),
                file_of(config, std::string("iteration-0/") + name))
          << name;
    for (const int64_t i : {0, 1}) {
      const nlohmann::json found = report_of(other, i), expected = report_of(config, i);
      for (const char* name : {"kl_to_start", "kl_of_training", "logps_chosen_after", "mean_score"})
        EXPECT_NEAR(found[name].get<double>(), expected[name].get<double>(), 1e-2) << name;
      EXPECT_EQ(found["exact_match_after"], expected["exact_match_after"]);
    }
  }
}

void expect_scores_near(const RunConfig& config, const JsonLines& expected) {
  const JsonLines found = parse_lines(file_of(config, "iteration-0/scores.jsonl"));
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i]["scores"].size(), expected[i]["scores"].size());
    for (size_t a = 0; a < found[i]["scores"].size(); ++a)
      EXPECT_NEAR(found[i]["scores"][a].get<double>(), expected[i]["scores"][a].get<double>(), 1e-4);
  }
}

TEST(SelfReward, AJudgeAndARewardModelScoreAnswers) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  const std::string model = undecided_model(folder.path());
  RunConfig config = config_of(folder.path(), model);
  config.self_reward.iterations = 1;
  config.self_reward.selector = "best_worst";
  config.self_reward.scorer = "judge";
  config.self_reward.judge_prompt = folder / "rubric.txt";
  std::ofstream(folder / "rubric.txt") << "Judge {prompt}";
  EXPECT_THAT([&] { run_recipe(config, 1); }, testing::ThrowsMessage<std::invalid_argument>(
                                                  testing::HasSubstr("has no {response}")));
  std::ofstream(folder / "rubric.txt") << "Judge the answer {response} to {prompt}";
  // It says yes or no: a yes is worth a point.
  config.self_reward.judge_pattern = "(1)";
  EXPECT_THAT([&] { run_recipe(config, 1); }, testing::ThrowsMessage<std::invalid_argument>(
                                                  testing::HasSubstr("no prompt has two answers")));
  const auto lines = parse_lines(file_of(config, "iteration-0/scores.jsonl"));
  ASSERT_EQ(lines.size(), 6U);
  for (const auto& line : lines) EXPECT_EQ(line["failures"], 6);

  RunConfig reward = base_config(folder.path());
  reward.recipe = "reward";
  reward.output_dir = folder / "reward";
  reward.model.model_name_or_path = model;
  reward.data.train = {{.path = shared_path("fixtures/trl/dpo/data.jsonl")}};
  reward.train.max_steps = 1;
  run_recipe(reward, 1);
  config.output_dir = folder / "scored";
  config.self_reward.scorer = "reward_model";
  config.self_reward.reward_model_name_or_path = reward.output_dir;
  config.self_reward.selector = "top_score";
  run_recipe(config, 2);
  EXPECT_EQ(report_of(config, 0)["unscored"], 0);
  EXPECT_EQ(report_of(config, 0)["pairs"], report_of(config, 0)["prompts_with_pair"]);
  const JsonLines scores = parse_lines(file_of(config, "iteration-0/scores.jsonl"));
  for (const auto& [ranks, tp, zero] : {std::tuple{4, 1, 3}, std::tuple{2, 2, 1}}) {
    config.output_dir = fmt::format("{}/scored-{}-{}", folder.path(), ranks, tp);
    config.parallel.tp = tp;
    config.parallel.zero = zero;
    run_recipe(config, ranks);
    expect_scores_near(config, scores);
  }
}

TEST(SelfReward, ImplicitRewardsAreLogRatiosAndConsistencyWeighsTheLoss) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  const std::string reference = shared_path("fixtures/trl/model");
  config.self_reward.iterations = 1;
  config.self_reward.selector = "best_worst";
  config.self_reward.scorer = "implicit_reward";
  config.self_reward.reference_name_or_path = reference;
  config.self_reward.previous_name_or_path = reference;
  config.self_reward.consistency = true;
  config.dpo.loss_type = {"sigmoid"};
  run_recipe(config, 2);
  const Asked model(config.model.model_name_or_path), other(reference);
  const JsonLines prompts = parse_lines(file_of(config, "iteration-0/prompts.jsonl")),
                  answers = parse_lines(file_of(config, "iteration-0/samples.jsonl")),
                  scores = parse_lines(file_of(config, "iteration-0/scores.jsonl"));
  ASSERT_EQ(scores.size(), 6U);
  double sum = 0, counted = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const nlohmann::json prompt = prompts[i]["prompt"];
    std::vector<double> rewards, of_previous;
    for (const Line& answer : answers[i]["answers"]) {
      const auto ids = model.written(prompt, answer["text"]);
      const double under_reference = other.log_prob(prompt, ids);
      rewards.push_back(model.log_prob(prompt, ids) - under_reference);
      of_previous.push_back(under_reference / static_cast<double>(ids.size()));
    }
    for (size_t a = 0; a < rewards.size(); ++a)
      EXPECT_NEAR(scores[i]["scores"][a].get<double>(), rewards[a], 1e-4);
    if (scores[i]["consistency"].is_null()) continue;
    sum += scores[i]["consistency"].get<double>();
    counted += 1;
  }
  ASSERT_GT(counted, 0);
  const double consistency = report_of(config, 0)["consistency"].get<double>();
  EXPECT_DOUBLE_EQ(consistency, sum / counted);

  // The same model comes out of recipe dpo with that share of reversed labels.
  RunConfig alone = config;
  alone.recipe = "dpo";
  alone.output_dir = folder / "alone";
  alone.data.train = {
      {.path = config.output_dir + "/iteration-0/pairs.jsonl", .shape = "preference"}};
  alone.data.exact_match.clear();
  alone.dpo.loss_type = {"conservative"};
  alone.dpo.label_smoothing = 1 - consistency;
  run_recipe(alone, 2);
  EXPECT_EQ(file_of(alone, "model.safetensors"), file_of(config, "model.safetensors"));

  // Ranks that have other numbers of answers to read, from weights of which each has a quarter.
  config.output_dir = folder / "cut";
  config.parallel.zero = 3;
  config.train.per_device_train_batch_size = 2;
  run_recipe(config, 4);
  expect_scores_near(config, scores);
}

TEST(SelfReward, AJudgeIsMeasuredOnHeldOutRankings) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  config.self_reward.iterations = 1;
  config.self_reward.selector = "best_worst";
  config.self_reward.scorer = "implicit_reward";
  config.self_reward.judge_eval = folder / "rankings.jsonl";
  config.dpo.loss_type = {"sigmoid"};
  // It has learnt to say yes or no, and nothing else.
  std::ofstream out(config.self_reward.judge_eval);
  for (const char* question : kQuestions)
    out << nlohmann::json{{"prompt", question}, {"responses", {"zebra", "yes"}}, {"ranks", {2, 1}}}
        << '\n';
  out.close();
  run_recipe(config, 2);
  const nlohmann::json judge = report_of(config, 0)["judge"];
  EXPECT_EQ(judge["before"]["prompts"], 6);
  EXPECT_EQ(judge["before"]["pairwise_accuracy"], 1);
  EXPECT_EQ(judge["before"]["exact_match"], 1);
  EXPECT_EQ(judge["before"]["kendall_tau"], 1);
  EXPECT_TRUE(judge["before"]["five_best"].is_null());
  EXPECT_TRUE(judge["after"].contains("spearman"));
  EXPECT_THAT(file_of(config, "iteration-0/report.html"),
              testing::HasSubstr("Judge against people"));
}

// The model that an iteration made is the one that the next starts from.
TEST(SelfReward, AModelIsMeasuredOnce) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  config.self_reward.judge_eval = folder / "rankings.jsonl";
  config.self_reward.selector = "best_worst";
  config.self_reward.scorer = "implicit_reward";
  config.dpo.loss_type = {"sigmoid"};
  std::ofstream(config.self_reward.judge_eval)
      << R"({"prompt": "When?", "responses": ["no", "yes"], "ranks": [2, 1]})" << '\n';
  run_recipe(config, 1);
  nlohmann::json first = report_of(config, 0);
  EXPECT_EQ(report_of(config, 1)["judge"]["before"], first["judge"]["after"]);
  EXPECT_EQ(report_of(config, 1)["exact_match_before"], first["exact_match_after"]);
}

TEST(SelfReward, EarlierPairsAreTrainedOnAgain) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  config.self_reward.selector = "gold";
  config.self_reward.earlier_pairs = 1;
  config.dpo.loss_type = {"sigmoid"};
  run_recipe(config, 1);
  RunConfig alone = config;
  alone.recipe = "dpo";
  alone.output_dir = folder / "alone";
  alone.model.model_name_or_path = config.output_dir + "/iteration-0/model";
  alone.data.train.clear();
  for (const char* name : {"/iteration-0/pairs.jsonl", "/iteration-1/pairs.jsonl"})
    alone.data.train.push_back({.path = config.output_dir + name, .shape = "preference"});
  alone.data.exact_match.clear();
  run_recipe(alone, 1);
  EXPECT_EQ(file_of(alone, "model.safetensors"), file_of(config, "model.safetensors"));
}

TEST(SelfReward, TheDatasOwnAnswerIsChosenAgainstTheModels) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  config.self_reward.iterations = 1;
  config.self_reward.selector = "gold";
  config.dpo.loss_type = {"sigmoid"};
  run_recipe(config, 1);
  const auto pairs = parse_lines(file_of(config, "iteration-0/pairs.jsonl"));
  ASSERT_FALSE(pairs.empty());
  for (const auto& pair : pairs) {
    EXPECT_EQ(pair["chosen"][0]["content"], "yes");
    EXPECT_NE(pair["rejected"][0]["content"], "yes");
  }
}

TEST(SelfReward, TheDatasOwnAnswerMayBeOneOfTheRightOnes) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const TempFolder folder;
  // A model that is never right: without the data's answer there is no pair.
  RunConfig config = config_of(folder.path(), undecided_model(folder.path()));
  config.data.train = {{.path = write_questions(folder / "never.jsonl", {"zebra"})}};
  config.self_reward.iterations = 1;
  EXPECT_THAT([&] { run_recipe(config, 1); }, testing::ThrowsMessage<std::invalid_argument>(
                                                  testing::HasSubstr("no prompt has two answers")));
  config.output_dir = folder / "with";
  config.self_reward.add_gold = true;
  run_recipe(config, 1);
  const auto pairs = parse_lines(file_of(config, "iteration-0/pairs.jsonl"));
  EXPECT_EQ(pairs.size(), 12U);
  for (const auto& pair : pairs) {
    EXPECT_EQ(pair["chosen"][0]["content"], "zebra");
    EXPECT_EQ(pair["places"][0], -1);
  }
}

TEST(SelfReward, WhatDoesNotGoTogetherIsSaid) {
  SelfRewardConfig config;
  EXPECT_TRUE(conflicts(config).empty());
  config.scorer = "judge";
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("needs its question"));
  config = {};
  config.num_generations = 1;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("2 answers or more"));
  const TempFolder folder;
  RunConfig run;
  run.recipe = "self_reward";
  run.output_dir = folder / "run";
  run.has_lora = true;
  EXPECT_THAT([&] { run_recipe(run, 1); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("leave lora")));
}

}  // namespace
}  // namespace lathe

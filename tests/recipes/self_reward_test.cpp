#include "recipes/self_reward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "recipes/confined_command.h"
#include "recipes/implicit_reward.h"
#include "recipes/iteration_changes.h"
#include "recipes/scorers.h"
#include "recipes/selectors.h"
#include "recipes/self_reward_stages.h"
#include "recipes/stage.h"
#include "tests/recipes/undecided_model.h"
#include "tests/temp_folder.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

namespace lathe {
namespace {

TEST(SelfReward, VerifiersCompareWhatTheyAreToldTo) {
  SelfRewardConfig config;
  EXPECT_EQ(verify("first 3, then -1,204.50 crowns", "#### -1204.5", config), 1);
  EXPECT_EQ(verify("12", "It is 13.", config), 0);
  EXPECT_EQ(verify("no number", "It is 13.", config), 0);
  EXPECT_EQ(verify("13", "no number", config), std::nullopt);
  config.verifier = "exact";
  EXPECT_EQ(verify(" yes\n", "yes", config), 1);
  EXPECT_EQ(verify("yes.", "yes", config), 0);
  config.verifier = "regex";
  config.answer_pattern = "at ([0-9:]+)";
  EXPECT_EQ(verify("leaves at 10:00, arrives at 15:35.", "It arrives at 15:35.", config), 1);
  EXPECT_EQ(verify("arrives at 15:36.", "It arrives at 15:35.", config), 0);
  EXPECT_EQ(verify("arrives at 15:36.", "never", config), std::nullopt);
}

TEST(SelfReward, TheLastScoreOfAJudgmentCountsIfItIsInRange) {
  SelfRewardConfig config;
  EXPECT_EQ(points_of("Score: 2 at first, but ... Score: 4", config), 4);
  EXPECT_EQ(points_of("score: 3.5", config), 3.5);
  EXPECT_EQ(points_of("Score: 6", config), std::nullopt);
  EXPECT_EQ(points_of("Score: 2 ... Score: 17", config), std::nullopt);
  EXPECT_EQ(points_of("I like it", config), std::nullopt);
  config.judge_samples = 4;
  config.judge_min_valid = 2;
  EXPECT_EQ(aggregate({1, std::nullopt, 4, 2}, config), 7.0 / 3);
  EXPECT_EQ(aggregate({std::nullopt, 4, std::nullopt, std::nullopt}, config), std::nullopt);
  config.judge_aggregate = "median";
  EXPECT_EQ(aggregate({1, std::nullopt, 5, 2}, config), 2);
  EXPECT_EQ(aggregate({1, 4, 5, 2}, config), 3);
}

std::vector<ScoredAnswer> answers_of(const std::vector<double>& scores,
                                     const std::vector<int64_t>& lengths) {
  std::vector<ScoredAnswer> answers;
  for (size_t i = 0; i < scores.size(); ++i)
    answers.push_back({.score = scores[i], .length = lengths[i]});
  return answers;
}

TEST(SelfReward, BothOrdersShowAJudgeThatPrefersWhatItReadsFirst) {
  SelfRewardConfig config;
  config.judge_pattern = "Better: ([AB])";
  EXPECT_EQ(winner_of("Better: A ... Better: B", config), false);
  EXPECT_EQ(winner_of("both", config), std::nullopt);
  // Answer 0 beats 1 in both orders; 0 and 2 win wherever they come first; 1 and 2 was read in one
  // order only.
  const Standing standing = standing_of({{0, 1, 0, true},
                                         {1, 0, 0, false},
                                         {0, 2, 0, true},
                                         {2, 0, 0, true},
                                         {1, 2, 0, false},
                                         {2, 1, 0, std::nullopt}},
                                        3);
  EXPECT_EQ(standing.scores[0], 0.75);
  EXPECT_EQ(standing.scores[1], 0.0);
  EXPECT_EQ(standing.scores[2], 2.0 / 3);
  EXPECT_EQ(standing.both_read, 2);
  EXPECT_EQ(standing.consistent, 1);
  EXPECT_EQ(standing.first_wins, 3);
}

TEST(SelfReward, ACommandVerifiesWithoutTheNetworkAndWithinItsLimits) {
  SelfRewardConfig config;
  config.verifier_command = "cmp -s response expected && grep -q much prompt";
  EXPECT_EQ(verify_by_command("How much?", "7", "7", config), 1);
  EXPECT_EQ(verify_by_command("How much?", "8", "7", config), 0);
  const TempFolder folder;
  const auto runs = [&](const char* command) {
    return run_confined(command, folder.path(), {.seconds = 1, .mebibytes = 256});
  };
  EXPECT_TRUE(runs("test -z \"$(cat)\""));
  EXPECT_FALSE(runs("exit 3"));
  EXPECT_FALSE(runs("while :; do :; done"));
  EXPECT_FALSE(runs("head -c 100000000 /dev/zero > big"));
  EXPECT_TRUE(runs("perl -e 'exit 0'"));
  EXPECT_TRUE(
      runs("perl -MSocket -e 'socket(my $s, PF_INET, SOCK_STREAM, 0) and exit 1; exit($!{EPERM} ? "
           "0 : 2)'"));
  EXPECT_FALSE(runs("perl -e 'my $x = \"a\" x 1000000000;'"));
  EXPECT_THAT([&] { runs("no-such-program"); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("ended with 127")));
}

TEST(SelfReward, SelectorsChooseAsTheirPapersSay) {
  const auto answers = answers_of({4.2, 4.6, 4.55, 2.0, 2.3}, {900, 1500, 1100, 700, 1300});
  SelfRewardConfig config;
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{1, 3}}));
  config.selector = "length_controlled";
  for (const auto& [rho, pair] :
       std::map<double, ChosenPair>{{0, {1, 3}}, {.1, {2, 3}}, {.2, {0, 4}}, {.4, {0, 4}}}) {
    config.length_control = rho;
    EXPECT_EQ(select_pairs(answers, config, 1), std::vector<ChosenPair>{pair}) << rho;
  }
  config.selector = "top_score";
  config.scorer = "judge";
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{1, -1}}));
  config.selector = "best_worst";
  config.min_margin = 2.7;
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
  EXPECT_TRUE(select_pairs(answers_of({1, 1}, {3, 4}), config, 1).empty());
}

TEST(SelfReward, PairsWithALongChosenAnswerAreLeftOut) {
  const auto answers = answers_of({4, 2}, {2500, 9000});
  SelfRewardConfig config;
  config.max_chosen_length = 2500;
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{0, 1}}));
  config.max_chosen_length = 2499;
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
}

TEST(SelfReward, ConsistencyIsHowFarTwoModelsRankAlike) {
  EXPECT_DOUBLE_EQ(consistency_of({1, 2, 3, 4, 5}, {2, 1, 3, 4, 5}).value(), 0.9);
  EXPECT_DOUBLE_EQ(consistency_of({1, 2}, {-3, -4}).value(), 0);
  EXPECT_FALSE(consistency_of({1, 1}, {1, 2}));
  const JsonLines scores{
      {{"consistency", 0.9}}, {{"consistency", nullptr}}, {{"consistency", 0.4}}};
  EXPECT_DOUBLE_EQ(mean_consistency(scores).value(), 0.65);
  EXPECT_FALSE(mean_consistency({{{"scores", {1, 2}}}}));
}

TEST(SelfReward, LaterIterationsMayHaveOtherValues) {
  RunConfig config;
  config.recipe = "self_reward";
  config.self_reward.iterations = 4;
  config.self_reward.changes = {{.from = 2, .set = {"self_reward.temperature=1.3", "dpo.beta=5"}},
                                {.from = 3, .set = {"length_control=0.4"}}};
  check_self_reward(config);
  EXPECT_EQ(config_of_iteration(config, 1).self_reward.temperature, 0.8);
  const RunConfig third = config_of_iteration(config, 2), fourth = config_of_iteration(config, 3);
  EXPECT_EQ(third.self_reward.temperature, 1.3);
  EXPECT_EQ(third.dpo.beta, 5);
  EXPECT_EQ(third.self_reward.length_control, 0.1);
  EXPECT_EQ(fourth.dpo.beta, 5);
  EXPECT_EQ(fourth.self_reward.length_control, 0.4);
  for (const auto& [setting, message] : std::map<std::string, std::string>{
           {"seed=3", "seed is the same in all iterations"},
           {"prompts_per_iteration=3", "is the same in all iterations"},
           {"dpo.beta=-1", "self_reward.changes, from 1: "},
           {"dpo.bta=1", "dpo.beta"}}) {
    config.self_reward.changes = {{.from = 1, .set = {setting}}};
    EXPECT_THAT([&] { check_self_reward(config); },
                testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(message)));
  }
  config.self_reward.changes.clear();
  config.self_reward.consistency = true;
  check_self_reward(config);
  config.dpo.loss_type = {"irpo"};
  EXPECT_THAT([&] { check_self_reward(config); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("[sigmoid]")));
}

TEST(SelfReward, WhatWasCutIsNeverChosenAndWhatHasNoScoreIsLeftOut) {
  auto answers = answers_of({4.2, 4.6, 2.0}, {9, 9, 9});
  answers[1].cut = true;
  SelfRewardConfig config;
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{0, 2}}));
  answers[2].score.reset();
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
  answers[0].score.reset();
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
}

TEST(SelfReward, RightAndWrongAnswersMakeDifferentPairs) {
  const auto answers = answers_of({1, 0, 1, 0, 0}, {1, 1, 1, 1, 1});
  SelfRewardConfig config;
  config.selector = "correct_wrong";
  config.pairs_per_prompt = 4;
  const auto pairs = select_pairs(answers, config, 7);
  ASSERT_EQ(pairs.size(), 4U);
  std::set<std::pair<int64_t, int64_t>> different;
  for (const ChosenPair& pair : pairs) {
    EXPECT_EQ(answers[static_cast<size_t>(pair.chosen)].score, 1);
    EXPECT_EQ(answers[static_cast<size_t>(pair.rejected)].score, 0);
    different.insert({pair.chosen, pair.rejected});
  }
  EXPECT_EQ(different.size(), 4U);
  config.pairs_per_prompt = 100;
  EXPECT_EQ(select_pairs(answers, config, 7).size(), 6U);
  EXPECT_TRUE(select_pairs(answers_of({1, 1}, {1, 1}), config, 7).empty());
}

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
  EXPECT_THAT([&] { run_recipe(config, 1); }, testing::ThrowsMessage<std::runtime_error>(
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
  EXPECT_THAT([&] { run_recipe(config, 1); }, testing::ThrowsMessage<std::runtime_error>(
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

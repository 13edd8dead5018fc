#include "recipes/scorers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "recipes/confined_command.h"
#include "recipes/implicit_reward.h"
#include "recipes/selectors.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

TEST(Scorers, VerifiersCompareWhatTheyAreToldTo) {
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

TEST(Scorers, TheLastScoreOfAJudgmentCountsIfItIsInRange) {
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

TEST(Scorers, BothOrdersShowAJudgeThatPrefersWhatItReadsFirst) {
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

TEST(Scorers, ACommandVerifiesWithoutTheNetworkAndWithinItsLimits) {
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

TEST(Selectors, SelectorsChooseAsTheirPapersSay) {
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

TEST(Selectors, PairsWithALongChosenAnswerAreLeftOut) {
  const auto answers = answers_of({4, 2}, {2500, 9000});
  SelfRewardConfig config;
  config.max_chosen_length = 2500;
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{0, 1}}));
  config.max_chosen_length = 2499;
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
}

TEST(Scorers, ConsistencyIsHowFarTwoModelsRankAlike) {
  EXPECT_DOUBLE_EQ(consistency_of({1, 2, 3, 4, 5}, {2, 1, 3, 4, 5}).value(), 0.9);
  EXPECT_DOUBLE_EQ(consistency_of({1, 2}, {-3, -4}).value(), 0);
  EXPECT_FALSE(consistency_of({1, 1}, {1, 2}));
  const JsonLines scores{
      {{"consistency", 0.9}}, {{"consistency", nullptr}}, {{"consistency", 0.4}}};
  EXPECT_DOUBLE_EQ(mean_consistency(scores).value(), 0.65);
  EXPECT_FALSE(mean_consistency({{{"scores", {1, 2}}}}));
}

TEST(Selectors, WhatWasCutIsNeverChosenAndWhatHasNoScoreIsLeftOut) {
  auto answers = answers_of({4.2, 4.6, 2.0}, {9, 9, 9});
  answers[1].cut = true;
  SelfRewardConfig config;
  EXPECT_EQ(select_pairs(answers, config, 1), (std::vector<ChosenPair>{{0, 2}}));
  answers[2].score.reset();
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
  answers[0].score.reset();
  EXPECT_TRUE(select_pairs(answers, config, 1).empty());
}

TEST(Selectors, RightAndWrongAnswersMakeDifferentPairs) {
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

}  // namespace
}  // namespace lathe

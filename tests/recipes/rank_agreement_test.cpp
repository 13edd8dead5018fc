#include "recipes/rank_agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "recipes/rankings_file.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

TEST(RankAgreement, CorrelationsOfRanksWithAndWithoutTies) {
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3, 4, 5}, {2, 1, 3, 4, 5}).value(), 0.8);
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3}, {3, 2, 1}).value(), -1);
  // Two of three pairs agree, the third is a tie on one side: 2 / sqrt(3 x 2).
  EXPECT_DOUBLE_EQ(kendall_tau({1, 2, 3}, {1, 1, 2}).value(), 2 / std::sqrt(6.0));
  EXPECT_FALSE(kendall_tau({1, 2}, {7, 7}));
  EXPECT_FALSE(kendall_tau({}, {}));
  // Places 1 2 3 against 1.5 1.5 3: 1.5 / sqrt(2 x 1.5).
  EXPECT_DOUBLE_EQ(spearman({1, 2, 3}, {1, 1, 2}).value(), 1.5 / std::sqrt(3.0));
  EXPECT_DOUBLE_EQ(spearman({1, 2, 3, 4, 5}, {20, 10, 30, 40, 50}).value(), 0.9);
  EXPECT_FALSE(spearman({4, 4}, {1, 2}));
}

TEST(RankAgreement, AJudgeAgainstPeopleWithTiesAndMissingScores) {
  const std::vector<RankedAnswers> prompts = {
      {{1, 2, 3}, {5, 4, 4}},             // two pairs right, the third a tie
      {{1, 1, 2}, {3, 5, std::nullopt}},  // both pairs that people tell apart lack a score
      {{2, 1}, {1, 4}},                   // right
      {{1, 1}, {1, 5}},                   // people tell nothing apart: left out
      {{2, 1}, {5, 5}},                   // a tie
  };
  const JudgeAgreement found = judge_agreement(prompts, 5);
  EXPECT_EQ(found.prompts, 4);
  EXPECT_DOUBLE_EQ(found.pairwise_accuracy, 3.0 / 7);
  EXPECT_DOUBLE_EQ(found.tie_share, 2.0 / 7);
  EXPECT_DOUBLE_EQ(found.five_best.value(), 3.0 / 4);
  EXPECT_DOUBLE_EQ(found.exact_match, 1.0 / 4);
  EXPECT_DOUBLE_EQ(found.spearman, (1.5 / std::sqrt(3.0) + 1) / 4);
  EXPECT_DOUBLE_EQ(found.kendall_tau, (2 / std::sqrt(6.0) + 1) / 4);
  EXPECT_FALSE(judge_agreement(prompts, std::nullopt).five_best);
  EXPECT_EQ(judge_agreement({prompts[3]}, 5).prompts, 0);
}

std::vector<Ranking> rankings_of(const TempFolder& folder, const std::string& text) {
  std::ofstream(folder / "rankings.jsonl") << text;
  return read_rankings(folder / "rankings.jsonl");
}

TEST(RankAgreement, RankingsAreReadAndFaultsNamed) {
  const TempFolder folder;
  const auto rankings = rankings_of(
      folder,
      R"({"prompt": "Why?", "responses": ["a", "b"], "ranks": [2, 1]})"
      "\n\n"
      R"({"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], "responses": ["c", "d", "e"], "ranks": [1, 1.5, 2]})");
  ASSERT_EQ(rankings.size(), 2U);
  EXPECT_EQ(rankings[0].prompt.dump(), R"([{"role":"user","content":"Why?"}])");
  EXPECT_EQ(rankings[1].prompt[0]["content"], "S");
  EXPECT_EQ(rankings[1].responses[2], "e");
  EXPECT_EQ(rankings[1].ranks, (std::vector<double>{1, 1.5, 2}));
  for (const auto& [line, message] : std::vector<std::pair<std::string, std::string>>{
           {R"({"prompt": 3, "responses": ["a", "b"], "ranks": [2, 1]})", "prompt: found 3"},
           {R"({"prompt": "P", "responses": ["a"], "ranks": [1]})", "a list of two texts or more"},
           {R"({"prompt": "P", "responses": ["a", "b"], "ranks": [1]})",
            "a number for each response"},
           {R"({"prompt": "P", "responses": ["a", "b"]})", "ranks: found nothing"},
           {"[]", "expected an object"}}) {
    EXPECT_THAT([&] { rankings_of(folder, "\n" + line); },
                testing::ThrowsMessage<std::invalid_argument>(testing::AllOf(
                    testing::HasSubstr("rankings.jsonl:2"), testing::HasSubstr(message))));
  }
  EXPECT_THAT([&] { rankings_of(folder, "\n"); }, testing::ThrowsMessage<std::invalid_argument>(
                                                      testing::HasSubstr("holds no ranking")));
}

}  // namespace
}  // namespace lathe

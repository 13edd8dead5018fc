// Mixtures: shares come out, limits hold, and what is written is what is read.
#include "data/curate/mixture.h"

#include <gtest/gtest.h>

#include "tests/data/folder.h"

namespace lathe {
namespace {

std::vector<MixtureSource> three() {
  return {{.name = "books", .tier = Tier::kGold, .words = 100},
          {.name = "web", .words = 600},
          {.name = "forum", .words = 300}};
}

std::vector<double> weights(const MixtureOptions& options) {
  std::vector<double> all;
  for (const MixtureSource& source : plan_mixture(options, three())) all.push_back(source.weight);
  return all;
}

TEST(Mixture, WithoutSharesEveryDocumentIsTakenOnceUpToItsLimit) {
  EXPECT_EQ(weights({}), (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(weights({.most_words = {{"web", 150}}}), (std::vector<double>{1, 0.25, 1}));
}

TEST(Mixture, SharesComeOutAndTheRestGoesByWords) {
  // 1000 words: 300 of gold, 700 of the others as they stand, 2 to 1.
  const auto plan = plan_mixture({.shares = {{"gold", 0.3}}}, three());
  EXPECT_DOUBLE_EQ(plan[0].weight, 3);
  EXPECT_DOUBLE_EQ(plan[0].share, 0.3);
  EXPECT_DOUBLE_EQ(plan[1].weight, 700.0 * 2 / 3 / 600);
  EXPECT_DOUBLE_EQ(plan[1].weight, plan[2].weight);
  // A source's own share goes before its tier's.
  const auto own = plan_mixture({.shares = {{"silver", 0.5}, {"forum", 0.4}}}, three());
  EXPECT_DOUBLE_EQ(own[0].share, 0.1);
  EXPECT_DOUBLE_EQ(own[1].share, 0.5);
  EXPECT_DOUBLE_EQ(own[2].share, 0.4);
}

TEST(Mixture, WhatALimitTakesAwayTheOthersShare) {
  // Gold asks for 500 words and may give 200: the others share 800.
  const auto plan = plan_mixture({.shares = {{"gold", 0.5}}, .most_repeats = 2}, three());
  EXPECT_DOUBLE_EQ(plan[0].weight, 2);
  EXPECT_DOUBLE_EQ(plan[0].share, 0.2);
  EXPECT_DOUBLE_EQ(plan[1].weight, 800.0 / 900);
  EXPECT_DOUBLE_EQ(plan[2].weight, 800.0 / 900);
  // All limited: the epoch is shorter.
  EXPECT_EQ(weights({.shares = {{"gold", 0.9}}, .most_repeats = 0.5}),
            (std::vector<double>{0.5, 0.5, 0.5}));
}

TEST(Mixture, WhatCanNotBeIsRefused) {
  EXPECT_NE(message_of([] {
              weights({.shares = {{"bronze", 0.1}}});
            }).find("`bronze` is no source and no tier; expected one of books, web, forum"),
            std::string::npos);
  EXPECT_THROW(weights({.shares = {{"gold", 0.6}, {"web", 0.6}}}), std::invalid_argument);
  EXPECT_NE(message_of([] {
              weights({.shares = {{"gold", 0.6}, {"web", 0.4}}});
            }).find("leave nothing for forum"),
            std::string::npos);
  EXPECT_THROW(weights({.most_words = {{"gold", 5}}}), std::invalid_argument);
  EXPECT_THROW(weights({.most_repeats = 0}), std::invalid_argument);
}

TEST(Mixture, StagesHaveSharesOfTheirOwn) {
  const MixtureOptions options{.shares = {{"web", 0.9}, {"gold", 0}},
                               .stages = {{.start = 0.8, .shares = {{"gold", 0.3}, {"forum", 0}}}}};
  const auto plan = plan_mixture(options, three());
  // 1000 words an epoch: 900 of the web and 100 of the forum; then 300 of gold and 700 of the web.
  EXPECT_DOUBLE_EQ(plan[0].weight, 0);
  EXPECT_EQ(plan[0].weights, (std::vector<double>{0, 3}));
  EXPECT_DOUBLE_EQ(plan[1].weights[0], 1.5);
  EXPECT_DOUBLE_EQ(plan[1].weights[1], 700.0 / 600);
  EXPECT_DOUBLE_EQ(plan[2].shares[0], 0.1);
  EXPECT_EQ(plan[2].weights[1], 0);
  const auto with_start = [&](double start) {
    MixtureOptions other = options;
    other.stages[0].start = start;
    plan_mixture(other, three());
  };
  EXPECT_NE(message_of([&] { with_start(0); }).find("one starts at 0"), std::string::npos);
  MixtureOptions nothing = options;
  nothing.stages[0].shares = {{"gold", 0}, {"silver", 0}};
  EXPECT_NE(message_of([&] { plan_mixture(nothing, three()); }).find("a stage takes nothing"),
            std::string::npos);
  EXPECT_THROW(weights({.shares = {{"gold", 0}}}), std::invalid_argument);  // no stages
}

TEST(Mixture, StagesAreReadAsTheyWereWritten) {
  TestFolder folder;
  const MixtureOptions options{.shares = {{"gold", 0}}, .stages = {{500, {{"gold", 0.3}}}}};
  write_text(folder / "mixture.json", mixture_json(options, plan_mixture(options, three())));
  const auto mixture = read_mixture(folder / "");
  ASSERT_TRUE(mixture.has_value());
  EXPECT_EQ(mixture->starts, (std::vector<double>{0, 500}));
  ASSERT_EQ(mixture->sources.size(), 3u);
  EXPECT_EQ(mixture->sources[0].weights, (std::vector<double>{0, 3}));
  write_text(folder / "mixture.json", R"({"format": "lathe mixture", "version": 1, "stages": [0, 5],
       "sources": [{"path": "kept/a", "weight": 1, "weights": [1]}]})");
  EXPECT_NE(message_of([&] { read_mixture(folder / ""); }).find("1 weights for 2 stages"),
            std::string::npos);
}

TEST(Mixture, IsReadAsItWasWritten) {
  TestFolder folder;
  EXPECT_FALSE(read_mixture(folder / "none").has_value());
  write_text(folder / "mixture.json",
             mixture_json({}, plan_mixture({.shares = {{"gold", 0.3}}}, three())));
  const auto mixture = read_mixture(folder / "");
  ASSERT_TRUE(mixture.has_value());
  EXPECT_TRUE(mixture->starts.empty());
  ASSERT_EQ(mixture->sources.size(), 3u);
  EXPECT_EQ(mixture->sources[0].path, folder / "kept/books");
  EXPECT_DOUBLE_EQ(mixture->sources[0].weight, 3);
  for (const char* bad : {"{}", "nonsense", R"({"format": "lathe mixture", "version": 1,
       "sources": [{"path": "kept/a", "weight": -1}]})"}) {
    write_text(folder / "mixture.json", bad);
    EXPECT_THROW(read_mixture(folder / ""), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace lathe

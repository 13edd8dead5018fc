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
  EXPECT_NE(message_of([] { weights({.shares = {{"bronze", 0.1}}}); })
                .find("`bronze` is no source and no tier; expected one of books, web, forum"),
            std::string::npos);
  EXPECT_THROW(weights({.shares = {{"gold", 0.6}, {"web", 0.6}}}), std::invalid_argument);
  EXPECT_NE(message_of([] { weights({.shares = {{"gold", 0.6}, {"web", 0.4}}}); })
                .find("leave nothing for forum"),
            std::string::npos);
  EXPECT_THROW(weights({.most_words = {{"gold", 5}}}), std::invalid_argument);
  EXPECT_THROW(weights({.most_repeats = 0}), std::invalid_argument);
}

TEST(Mixture, IsReadAsItWasWritten) {
  TestFolder folder;
  EXPECT_FALSE(read_mixture(folder / "none").has_value());
  write_text(folder / "mixture.json",
             mixture_json(plan_mixture({.shares = {{"gold", 0.3}}}, three())));
  const auto paths = read_mixture(folder / "");
  ASSERT_TRUE(paths.has_value());
  ASSERT_EQ(paths->size(), 3u);
  EXPECT_EQ((*paths)[0].path, folder / "kept/books");
  EXPECT_DOUBLE_EQ((*paths)[0].weight, 3);
  for (const char* bad : {"{}", "nonsense", R"({"format": "lathe mixture", "version": 1,
       "sources": [{"path": "kept/a", "weight": -1}]})"}) {
    write_text(folder / "mixture.json", bad);
    EXPECT_THROW(read_mixture(folder / ""), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace lathe

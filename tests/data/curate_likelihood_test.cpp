// What a model says of texts, from outside: stored beside the other signals, asked once.
#include "data/curate/likelihood.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/curate/curate.h"
#include "data/curate/filter.h"
#include "tests/data/curate_tools.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Likelihood, SignalsAreTheMeanAndItsPerplexity) {
  std::vector<double> signals(num_signals(), 7);
  const auto both = [&](double logprob, int64_t tokens) {
    set_likelihood({logprob, tokens}, signals.data());
    return std::pair(signals[signal_index("mean_logprob")], signals[signal_index("perplexity")]);
  };
  EXPECT_EQ(both(-6, 3), std::pair(-2.0, std::exp(2)));
  EXPECT_EQ(both(0, 0), std::pair(-0.0, 1.0));
  EXPECT_EQ(both(-1e6, 1), std::pair(-1e6, 1e300));
  EXPECT_EQ(SignalsOf("text")["perplexity"], 1);
}

class LikelihoodCuration : public testing::Test {
 protected:
  // -1 for each letter, a token each.
  LikelihoodCuration() {
    write_text(folder_ / "a.jsonl",
               "{\"text\": \"fine\"}\n{\"text\": 5}\n{\"text\": \"bad\"}\n{\"text\": \"\"}\n");
    options_.sources.push_back(
        {.name = "a", .files = {folder_ / "a.jsonl"}, .filters = {"likelihood"}});
    options_.likelihood = {"letters", [this](const std::vector<std::string>& texts) {
                             asked_.push_back(texts);
                             std::vector<TextLikelihood> all;
                             for (const std::string& text : texts)
                               all.push_back({text == "bad" ? -30.0 : -1.0 * std::ssize(text),
                                              std::ssize(text)});
                             return all;
                           }};
  }

  TestFolder folder_;
  CurateOptions options_;
  std::vector<std::vector<std::string>> asked_;
};

TEST_F(LikelihoodCuration, ABlockIsAskedAtOnceAndOnlyOnce) {
  const CurateResult first = curate(options_, folder_ / "out");
  EXPECT_EQ(first.dropped_by,
            (std::map<std::string, int64_t>{{"bad_record", 1}, {"high_perplexity", 1}}));
  EXPECT_THAT(asked_, ElementsAre(ElementsAre("fine", "", "bad", "")));
  options_.thresholds["high_perplexity"] = 1e6;
  options_.drop = {"mean_logprob < -9"};
  EXPECT_EQ(curate(options_, folder_ / "out").dropped_by["mean_logprob < -9"], 1);
  EXPECT_EQ(asked_.size(), 1u);  // what is stored holds
  options_.likelihood.key = "another";
  curate(options_, folder_ / "out");
  EXPECT_EQ(asked_.size(), 2u);
  options_.likelihood = {};
  EXPECT_THAT(message_of([&] { curate(options_, folder_ / "out"); }),
              HasSubstr("filters asks for a signal of likelihood, which needs "
                        "likelihood.model_name_or_path"));
}

TEST_F(LikelihoodCuration, KeptRecordsSayTheirPlaceInAnOrder) {
  options_.sources[0].filters.clear();
  options_.mixture.order_by = "mean_logprob";
  options_.mixture.descending = true;
  curate(options_, folder_ / "out");
  const std::string kept = read_file(folder_ / "out/kept/a/part-000000.jsonl");
  EXPECT_THAT(kept, HasSubstr("\"order\": -1"));
  EXPECT_THAT(kept, HasSubstr("\"order\": -10"));
  const auto mixture = read_mixture(folder_ / "out");
  EXPECT_EQ(mixture->order_by, "mean_logprob");
  EXPECT_TRUE(mixture->descending);
  EXPECT_THAT(read_file(folder_ / "out/report.html"),
              HasSubstr("Training takes documents by mean_logprob, those with the most first"));
  options_.mixture.order_by = "likelyhood";
  EXPECT_THAT(message_of([&] { curate(options_, folder_ / "out"); }),
              HasSubstr("`likelyhood` is no signal"));
  options_.mixture.order_by = "quality";
  EXPECT_THAT(message_of([&] { curate(options_, folder_ / "out"); }),
              HasSubstr("mix.order_by asks for a signal of quality"));
}

}  // namespace
}  // namespace lathe

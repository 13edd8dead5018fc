#include "trainer/generate/sampler.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/shared.h"
#include "trainer/safetensors.h"

namespace lathe {
namespace {

using testing::HasSubstr;

SamplingOptions options(double temperature, int64_t top_k = 0, double top_p = 1, double min_p = 0,
                        double penalty = 1) {
  SamplingOptions o;
  o.temperature = temperature;
  o.top_k = top_k;
  o.top_p = top_p;
  o.min_p = min_p;
  o.repetition_penalty = penalty;
  return o;
}

std::vector<double> probabilities(std::span<const float> logits, const SamplingOptions& o,
                                  std::span<const int64_t> prefix = {}) {
  std::vector<double> out(logits.size(), 0);
  for (const Candidate& c : sampling_distribution(logits, o, prefix))
    out[static_cast<size_t>(c.id)] = c.probability;
  return out;
}

std::vector<int64_t> kept(const std::vector<float>& logits, const SamplingOptions& o) {
  std::vector<int64_t> ids;
  for (const Candidate& c : sampling_distribution(logits, o, {})) ids.push_back(c.id);
  return ids;
}

const std::vector<float> kFour = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

SamplingOptions with(double SamplingOptions::*option, double value) {
  SamplingOptions o = options(1);
  o.*option = value;
  return o;
}

SamplingOptions without_ngrams(int64_t size) {
  SamplingOptions o = options(1);
  o.no_repeat_ngram_size = size;
  return o;
}

TEST(Sampler, WarpsAsTheReferenceDoes) {
  const std::string path = shared_path("fixtures/generation/processors.safetensors");
  if (!have_shared("fixtures/generation")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::pair<const char*, SamplingOptions> cases[] = {
      {"temperature", options(0.7)},
      {"temperature_high", options(2.5)},
      {"top_k", options(1, 5)},
      {"top_k_larger_than_vocabulary", options(1, 1000)},
      {"top_p", options(1, 0, 0.9)},
      {"top_p_small", options(1, 0, 0.05)},
      {"min_p", options(1, 0, 1, 0.05)},
      {"repetition_penalty", options(1, 0, 1, 0, 1.3)},
      {"repetition_penalty_below_1", options(1, 0, 1, 0, 0.8)},
      {"typical", with(&SamplingOptions::typical_p, 0.9)},
      {"typical_low", with(&SamplingOptions::typical_p, 0.2)},
      {"epsilon_cutoff", with(&SamplingOptions::epsilon_cutoff, 0.02)},
      {"eta_cutoff", with(&SamplingOptions::eta_cutoff, 0.02)},
      {"no_repeat_ngram_2", without_ngrams(2)},
      {"no_repeat_ngram_3", without_ngrams(3)},
      {"all", options(0.7, 10, 0.9, 0.05, 1.3)},
  };
  const SafetensorsFile file(path);
  const at::Tensor logits = file.tensor("in.logits"), prefixes = file.tensor("in.input_ids");
  const auto width = static_cast<size_t>(logits.size(1)),
             length = static_cast<size_t>(prefixes.size(1));
  int rows = 0;
  for (const auto& [name, o] : cases) {
    const at::Tensor expected = file.tensor(std::string(name) + ".probabilities");
    for (int64_t row = 0; row < logits.size(0); ++row) {
      std::vector<double> found = probabilities({logits[row].const_data_ptr<float>(), width}, o,
                                                {prefixes[row].const_data_ptr<int64_t>(), length});
      std::vector<double> wanted;
      for (size_t id = 0; id < width; ++id)
        wanted.push_back(expected[row][static_cast<int64_t>(id)].item<double>());
      if (row == 3) {  // has ties, of which any may be kept
        std::sort(found.begin(), found.end());
        std::sort(wanted.begin(), wanted.end());
      }
      for (size_t id = 0; id < width; ++id) {
        EXPECT_EQ(found[id] > 0, wanted[id] > 0) << name << " row " << row << " id " << id;
        EXPECT_NEAR(found[id], wanted[id], 1e-5) << name << " row " << row << " id " << id;
      }
      ++rows;
    }
  }
  EXPECT_EQ(rows, 96);
}

TEST(Sampler, KeepsTheFewestTokensThatReachTopP) {
  EXPECT_EQ(kept(kFour, options(1, 0, 0.39)), (std::vector<int64_t>{1}));
  EXPECT_EQ(kept(kFour, options(1, 0, 0.41)), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(kept(kFour, options(1, 0, 0.89)), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(kept(kFour, options(1, 0, 0.95)), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(kFour, options(1, 0, 1e-9)), (std::vector<int64_t>{1})) << "never none";
}

TEST(Sampler, KeepsTokensThatTieAtTheCut) {
  EXPECT_EQ(kept({1, 2, 2, 2, 0}, options(1, 2)), (std::vector<int64_t>{1, 2, 3}))
      << "top_k keeps all";
  EXPECT_EQ(kept({2, 2, 2, 2}, options(1, 0, 0.5)), (std::vector<int64_t>{0, 1}))
      << "top_p the lowest ids";
}

TEST(Sampler, AppliesTopPToWhatTopKLeft) {
  // Of 0.4 and 0.3 the first has 0.57: it alone reaches 0.5, which it would not among all four.
  EXPECT_EQ(kept(kFour, options(1, 2, 0.5)), (std::vector<int64_t>{1}));
  EXPECT_EQ(kept(kFour, options(1, 0, 0.5)), (std::vector<int64_t>{1, 3}));
}

TEST(Sampler, PenalisesATokenOnceHoweverOftenItOccurs) {
  const std::vector<float> logits = {2, -2, 1};
  const std::vector<int64_t> once = {0, 1}, often = {1, 0, 0, 1, 0};
  const auto o = options(1, 0, 1, 0, 2);
  EXPECT_EQ(probabilities(logits, o, once), probabilities(logits, o, often));
  EXPECT_EQ(next_token(logits, options(0, 0, 1, 0, 2.5), once, 0), 2) << "greedy too: 2 / 2.5 < 1";
  EXPECT_EQ(next_token(logits, options(0), once, 0), 0);
}

TEST(Sampler, TakesOffALogitForEveryTimeItsTokenWasGenerated) {
  SamplingOptions o = options(0);
  o.frequency_penalty = 0.5;
  o.presence_penalty = 0.25;
  const std::vector<float> logits = {2, 1.1f, 0};
  const std::vector<int64_t> prefix = {0, 0, 0, 1, 0};
  EXPECT_EQ(next_token(logits, o, prefix, 0), 0) << "the prompt does not count";
  EXPECT_EQ(next_token(logits, o, prefix, 1), 0) << "2 - 0.75 > 1.1";
  EXPECT_EQ(next_token(logits, o, {prefix.data(), 3}, 2), 1) << "2 - 1.25 < 1.1";
  EXPECT_EQ(next_token(logits, o, prefix, 2), 0) << "1.1 - 0.75 < 2 - 0.75";
}

TEST(Sampler, ForbidsNgramsUnlessAllTokensAre) {
  const std::vector<int64_t> prefix = {0, 1, 0};
  SamplingOptions o = without_ngrams(2);
  o.temperature = 0;
  EXPECT_EQ(next_token(std::vector<float>{1, 3, 2}, o, prefix, 0), 2) << "0 1 was said";
  o.no_repeat_ngram_size = 1;
  EXPECT_EQ(next_token(std::vector<float>{1, 3, 2}, o, std::vector<int64_t>{2, 1, 0}, 0), 1);
}

TEST(Sampler, TakesTheLowestIdOfTheBest) {
  EXPECT_EQ(next_token(std::vector<float>{1, 3, 3, 2}, options(0), {}, 0), 1);
}

TEST(Sampler, DrawsAsOftenAsTheDistributionSays) {
  SamplingOptions o = options(1);
  std::vector<int> counts(4, 0);
  const int draws = 40000;
  for (int i = 0; i < draws; ++i) {
    o.seed = static_cast<uint64_t>(i % 200);
    ++counts[static_cast<size_t>(next_token(kFour, o, {}, i / 200))];
  }
  for (size_t id = 0; id < 4; ++id) {
    // Five standard deviations of a binomial; the numbers are fixed, so this never flickers.
    const double p = std::exp(kFour[id]);
    EXPECT_NEAR(counts[id], draws * p, 5 * std::sqrt(draws * p * (1 - p))) << id;
  }
}

TEST(Sampler, DependsOnSeedAndStepAlone) {
  SamplingOptions o = options(1);
  std::vector<int64_t> first, again, other;
  for (int64_t step = 0; step < 50; ++step) first.push_back(next_token(kFour, o, {}, step));
  for (int64_t step = 49; step >= 0; --step)
    again.insert(again.begin(), next_token(kFour, o, {}, step));
  o.seed = 1;
  for (int64_t step = 0; step < 50; ++step) other.push_back(next_token(kFour, o, {}, step));
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
}

TEST(Sampler, NeverDrawsAnImpossibleToken) {
  const std::vector<float> logits = {-INFINITY, 0, -INFINITY, 0, -INFINITY};
  for (int64_t step = 0; step < 200; ++step)
    EXPECT_EQ(next_token(logits, options(2), {}, step) % 2, 1);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  for (const auto& logits :
       {std::vector<float>{1, NAN}, {NAN, 1}, {-INFINITY, -INFINITY}, {INFINITY, 0}}) {
    EXPECT_THROW(next_token(logits, options(0), {}, 0), std::runtime_error);
    EXPECT_THROW(next_token(logits, options(1), {}, 0), std::runtime_error);
  }
}

TEST(Sampler, NamesTheOptionThatIsOutOfRange) {
  const auto refusal = [](const SamplingOptions& o) -> std::string {
    try {
      check_sampling(o, "request 3");
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(options(-1)), HasSubstr("request 3: temperature must be"));
  EXPECT_THAT(refusal(options(NAN)), HasSubstr("temperature"));
  EXPECT_THAT(refusal(options(1, -1)), HasSubstr("top_k"));
  EXPECT_THAT(refusal(options(1, 0, 0)), HasSubstr("top_p"));
  EXPECT_THAT(refusal(options(1, 0, 1.5)), HasSubstr("top_p"));
  EXPECT_THAT(refusal(options(1, 0, NAN)), HasSubstr("top_p"));
  EXPECT_THAT(refusal(options(1, 0, 1, 2)), HasSubstr("min_p"));
  EXPECT_THAT(refusal(options(1, 0, 1, 0, 0)), HasSubstr("repetition_penalty"));
  EXPECT_THAT(refusal(with(&SamplingOptions::typical_p, 0)), HasSubstr("typical_p"));
  EXPECT_THAT(refusal(with(&SamplingOptions::epsilon_cutoff, 1)), HasSubstr("epsilon_cutoff"));
  EXPECT_THAT(refusal(with(&SamplingOptions::eta_cutoff, -1)), HasSubstr("eta_cutoff"));
  EXPECT_THAT(refusal(with(&SamplingOptions::frequency_penalty, NAN)), HasSubstr("frequency"));
  EXPECT_THAT(refusal(without_ngrams(-1)), HasSubstr("no_repeat_ngram_size"));
  SamplingOptions o = options(0);
  o.max_new_tokens = -1;
  EXPECT_THAT(refusal(o), HasSubstr("max_new_tokens"));
  EXPECT_EQ(refusal(options(0.7, 10, 0.9, 0.05, 1.3)), "accepted");
}

}  // namespace
}  // namespace lathe

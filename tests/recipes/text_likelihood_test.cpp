// A model as curation asks it: what lathe score says of the same texts.
#include "recipes/text_likelihood.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/shared.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

namespace lathe {
namespace {

TEST(TextLikelihood, IsTheSumOfTheScoresInWindows) {
  if (!have_shared("data/models/stories260K-hf/config.json")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string folder = shared_path("data/models/stories260K-hf");
  const std::vector<std::string> texts = {"Once upon a time, there was a little girl named Lily.", "",
                                          "The cat sat on the mat. It was happy."};
  const Tokenizer tokenizer(folder);
  const auto model = load_model(folder, at::kFloat, at::kCPU);
  const LikelihoodModel whole = text_likelihood(folder, "fp32", 100'000), cut = text_likelihood(folder, "fp32", 8);
  EXPECT_NE(whole.key, cut.key);
  EXPECT_EQ(whole.key, text_likelihood(folder, "fp32", 512).key);  // all that the model can read
  const int threads = at::get_num_threads();
  const auto all = whole.score(texts), windows = cut.score(texts);
  EXPECT_EQ(at::get_num_threads(), threads);
  ASSERT_EQ(all.size(), 3u);
  for (size_t t = 0; t < texts.size(); ++t) {
    const ScoreRequest request = text_request(tokenizer, texts[t]);
    const Score expected = score(*model, {request}).at(0);
    EXPECT_NEAR(all[t].logprob, expected.logprob, 1e-4) << t;  // neighbours in a row round otherwise
    EXPECT_EQ(all[t].tokens, std::ssize(expected.logprobs));
    double sum = 0;
    int64_t tokens = 0;
    for (size_t begin = 0; begin < request.ids.size(); begin += 8) {
      const auto end = request.ids.begin() + std::min<ptrdiff_t>(static_cast<ptrdiff_t>(begin) + 8, std::ssize(request.ids));
      const std::vector<int64_t> window(request.ids.begin() + static_cast<ptrdiff_t>(begin), end);
      const Score part = score(*model, {ScoreRequest{window}}).at(0);
      sum += part.logprob;
      tokens += std::ssize(part.logprobs);
    }
    EXPECT_NEAR(windows[t].logprob, sum, 1e-4) << t;
    EXPECT_EQ(windows[t].tokens, tokens);
  }
  EXPECT_EQ(all[1].tokens, 0);
  EXPECT_GT(all[0].logprob / all[0].tokens, -2);  // a story
}

}  // namespace
}  // namespace lathe

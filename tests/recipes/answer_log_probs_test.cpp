#include "recipes/answer_log_probs.h"

#include <gtest/gtest.h>

#include "tests/tiny.h"
#include "trainer/objective/preference.h"

namespace lathe {
namespace {

AnswerIds answer(const std::vector<int64_t>& prompt, const std::vector<int64_t>& ids) {
  AnswerIds answer{prompt, std::vector<uint8_t>(prompt.size(), 0)};
  answer.ids.insert(answer.ids.end(), ids.begin(), ids.end());
  answer.trained.resize(answer.ids.size(), 1);
  return answer;
}

TEST(AnswerLogProbs, OfAnswersReadTogetherAreThoseOfEachAlone) {
  const std::vector<int64_t> prompt{3, 14, 15, 9, 26, 5}, other{3, 14, 7, 1}, third{9, 8};
  const std::vector<AnswerIds> answers{answer(prompt, {7, 9}), answer(prompt, {1, 2, 3}),
                                       answer(other, {30, 4}), answer(third, {5, 6, 7}),
                                       answer(third, {5, 20}), answer(prompt, {7, 1})};
  const auto model = tiny_model();
  const at::NoGradGuard no_grad;
  Passes passes(nullptr);
  const std::vector<double> together = answer_log_probs(*model, answers, at::kCPU, passes);
  ASSERT_EQ(together.size(), answers.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const Batch alone = make_batch(
        {{answers[i].ids.data(), answers[i].trained.data(), std::ssize(answers[i].ids)}});
    EXPECT_NEAR(together[i], sequence_log_probs(*model, alone).sums_D[0].item<double>(), 1e-5) << i;
  }
}

}  // namespace
}  // namespace lathe

#include "trainer/objective/minillm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/trainer/distill_outcome.h"
#include "trainer/objective/soft_targets.h"

// MiniLLM's gradient against that of the whole answers' KL, worked out over all of them.
namespace lathe {
namespace {

DistillConfig minillm(double alpha, double gamma, bool normalised, bool single) {
  DistillConfig config = with("minillm");
  config.teacher_mixed_alpha = alpha;
  config.gamma = gamma;
  config.length_normalization = normalised;
  config.single_step_decomposition = single;
  return config;
}

// Rewards 1, 2, 4 of one answer and 8 of another.
TEST(MiniLlm, ReturnsAreThoseOfTheirFormula) {
  const at::Tensor log_q = at::tensor({-3.0, -1.0, -6.0, -9.0}, at::kDouble),
                   log_p = log_q + at::tensor({1.0, 2.0, 4.0, 8.0}, at::kDouble);
  const auto returns = [&](const DistillConfig& config) {
    return policy_terms(log_p, log_q, {3, 4}, config).returns_N;
  };
  const auto expect = [](const at::Tensor& found, std::vector<double> values) {
    EXPECT_TRUE(at::allclose(found, at::tensor(values, at::kDouble))) << found;
  };
  expect(returns(minillm(0, 1, false, true)), {6, 4, 0, 0});
  expect(returns(minillm(0, 1, false, false)), {7, 6, 4, 8});
  expect(returns(minillm(0, .5, false, true)), {4, 4, 0, 0});
  expect(returns(minillm(0, 1, true, true)), {3, 4, 0, 0});
  expect(returns(minillm(0, .5, true, false)), {3 / 1.75, 4 / 1.5, 4, 8});
  // Without a future and without the exact part: log p - log q of the token alone.
  expect(returns(minillm(0, 0, true, false)), {1, 2, 4, 8});
  const at::Tensor weights = policy_terms(log_p, log_q, {4}, minillm(.2, 1, true, true)).weights_N;
  for (int i = 0; i < 4; ++i) {
    const double p = std::exp(log_p[i].item<double>()), q = std::exp(log_q[i].item<double>());
    EXPECT_NEAR(weights[i].item<double>(), q / (.2 * p + .8 * q), 1e-12);
  }
}

// All nine answers of two tokens out of three: what the policy's gradient is on average, is the
// gradient of the reverse KL of whole answers.
TEST(MiniLlm, GradientIsThatOfTheKlOfWholeAnswers) {
  const at::TensorOptions wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor teacher =
      at::tensor({.3, -1., .9, 0., 2., -.5, 1., .1, -.7, -2., .4, .6}, wide).view({4, 3});
  at::Tensor student = at::tensor({.1, .2, -.4, 1., -1., .5, .3, .8, .2, 0., -.6, 1.1}, wide)
                           .view({4, 3})
                           .requires_grad_();
  // Row 0: the first token. Row 1 + a: the second, behind a.
  const at::Tensor log_q = student.log_softmax(1), log_p = teacher.log_softmax(1);
  at::Tensor kl = at::zeros({}, wide);
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      const at::Tensor q = log_q[0][a] + log_q[1 + a][b], p = log_p[0][a] + log_p[1 + a][b];
      kl = kl + q.exp() * (q - p);
    }
  }
  kl.backward();
  for (const bool single : {true, false}) {
    const DistillConfig config = minillm(0, 1, false, single);
    at::Tensor gradient = at::zeros({4, 3}, wide);
    for (int64_t a = 0; a < 3; ++a) {
      for (int64_t b = 0; b < 3; ++b) {
        const at::NoGradGuard no_grad;
        const at::Tensor rows = at::tensor({int64_t{0}, 1 + a}, at::kLong),
                         ids = at::tensor({a, b}, at::kLong);
        const auto picked = [&](const at::Tensor& x) {
          return x.index_select(0, rows).gather(1, ids.unsqueeze(1)).squeeze(1);
        };
        const PolicyTerms terms = policy_terms(picked(log_p), picked(log_q), {2}, config);
        const at::Tensor x = student.index_select(0, rows);
        const ChunkLoss single_step =
            divergence_of_rows(x, teacher.index_select(0, rows), config, true);
        const ChunkLoss loss = policy_loss_of_rows(x, single_step, ids, terms, config, true);
        gradient.index_add_(0, rows, loss.dlogits_CV * picked(log_q).sum().exp());
      }
    }
    EXPECT_LT((gradient - student.grad()).abs().max().item<double>(), 1e-12) << single;
  }
}

// And with a teacher that has a say in what is drawn, for answers of one token.
TEST(MiniLlm, WeightsUndoTheMixture) {
  const at::TensorOptions wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor teacher = at::tensor({.3, -1., .9}, wide).unsqueeze(0);
  at::Tensor student = at::tensor({.1, .2, -.4}, wide).unsqueeze(0).requires_grad_();
  const at::Tensor log_q = student.log_softmax(1), log_p = teacher.log_softmax(1);
  (log_q.exp() * (log_q - log_p)).sum().backward();
  for (const bool single : {true, false}) {
    const DistillConfig config = minillm(.3, 1, true, single);
    at::Tensor gradient = at::zeros({1, 3}, wide);
    for (int64_t y = 0; y < 3; ++y) {
      const at::NoGradGuard no_grad;
      const PolicyTerms terms = policy_terms(log_p.select(1, y), log_q.select(1, y), {1}, config);
      const ChunkLoss loss =
          policy_loss_of_rows(student, divergence_of_rows(student, teacher, config, true),
                              at::tensor({y}, at::kLong), terms, config, true);
      gradient += loss.dlogits_CV * (.3 * log_p[0][y].exp() + .7 * log_q[0][y].exp());
    }
    EXPECT_LT((gradient - student.grad()).abs().max().item<double>(), 1e-12) << single;
  }
}

TEST(MiniLlm, TheObjectiveSumsItsPartsAndLearnsTheDataOtherwise) {
  on_ranks(1, [](Mesh& mesh) {
    Batch batch = tiny_batch();
    DistillConfig config = minillm(.2, .9, true, true);
    config.ce_weight = 0.25;
    DistillConfig reverse = with("reverse_kl");
    reverse.ce_weight = 0.25;
    const Outcome on_data = outcome_of(config, batch, mesh);
    EXPECT_EQ(on_data.loss, outcome_of(reverse, batch, mesh).loss);
    batch.sampled = true;
    const Outcome sampled = outcome_of(config, batch, mesh);
    EXPECT_NEAR(sampled.metrics[0].second, on_data.metrics[0].second, 1e-6);  // the KL itself

    const auto student = tiny_model(at::kFloat, 1), teacher = tiny_model(at::kFloat, 2);
    const auto sharding = make_sharding(0, student->parameters(), mesh);
    const at::Tensor chosen = (batch.targets != kIgnore).nonzero().squeeze(1);
    const at::Tensor target = batch.targets.index_select(0, chosen).unsqueeze(1);
    const auto log_probs = [&](Model& model) {
      return model.logits(model.hidden(batch).index_select(0, chosen))
          .to(at::kDouble)
          .log_softmax(1);
    };
    const at::Tensor log_q = log_probs(*student), log_p = log_probs(*teacher),
                     q = log_q.gather(1, target).squeeze(1), p = log_p.gather(1, target).squeeze(1);
    std::vector<int64_t> ends;
    for (size_t d = 1; d < batch.cu_seqlens.size(); ++d)
      ends.push_back((chosen < batch.cu_seqlens[d]).sum().item<int64_t>());
    const PolicyTerms terms = policy_terms(p, q, ends, config);
    const at::Tensor kl = (log_q.exp() * (log_q - log_p)).sum(1);
    const double expected = (terms.weights_N * (kl - terms.returns_N * q)).sum().item<double>();
    EXPECT_NEAR(sampled.loss / expected, 1, 1e-5);
  });
}

}  // namespace
}  // namespace lathe

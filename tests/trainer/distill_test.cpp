#include "trainer/objective/distill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "parallel/sharding.h"
#include "tests/shared.h"
#include "tests/tiny.h"
#include "tests/trainer/distill_outcome.h"
#include "trainer/kernels/head_loss.h"
#include "trainer/objective/divergences.h"
#include "trainer/objective/soft_targets.h"
#include "trainer/safetensors.h"

// Divergences against the reference's values and gradients, and against what can be worked out by
// hand.
namespace lathe {
namespace {

constexpr const char* kFixtures = "fixtures/losses";

// p = softmax(2, 1, 0, -1), q = softmax(1, 1, 1, -3).
double by_hand(const DistillConfig& config) {
  const at::Tensor p = at::tensor({2.0, 1.0, 0.0, -1.0}, at::kDouble).unsqueeze(0),
                   q = at::tensor({1.0, 1.0, 1.0, -3.0}, at::kDouble).unsqueeze(0);
  const ChunkLoss loss =
      config.top_k > 0
          ? divergence_of_top_k(q, top_k_of(p, config.top_k, config.temperature), config, false)
          : divergence_of_rows(q, p, config, false);
  return loss.losses_C.item<double>();
}

TEST(Distill, DivergencesHaveTheValuesOfTheirFormulas) {
  EXPECT_NEAR(by_hand(with("forward_kl")), .28539639, 1e-8);
  EXPECT_NEAR(by_hand(with("reverse_kl")), .32335443, 1e-8);
  EXPECT_NEAR(by_hand(with("skew_kl")), .22943076, 1e-8);
  EXPECT_NEAR(by_hand(with("skew_reverse_kl")), .24556926, 1e-8);
  EXPECT_NEAR(by_hand(with("tvd")), .33859409, 1e-8);
  EXPECT_NEAR(by_hand(with("forward_kl", 2)), .10075834, 1e-8);
  DistillConfig squared = with("forward_kl", 2);
  squared.temperature_squared = true;
  EXPECT_NEAR(by_hand(squared), .40303335, 1e-8);
  DistillConfig jsd = with("jsd");
  for (const auto& [beta, value] : std::map<double, double>{
           {.001, .00028509}, {.1, .02555992}, {.5, .07227677}, {.9, .02813044}}) {
    jsd.beta = beta;
    EXPECT_NEAR(by_hand(jsd), value, 1e-8);
  }
}

TEST(Distill, NormalisedJsdAndAlphaBetaTendToTheKls) {
  DistillConfig jsd = with("jsd"), family = with("alpha_beta");
  jsd.scale = "normalised";
  jsd.beta = 1e-6;
  EXPECT_NEAR(by_hand(jsd), .28539639, 1e-5);
  jsd.beta = 1 - 1e-6;
  EXPECT_NEAR(by_hand(jsd), .32335443, 1e-5);
  for (const double little : {0.0, 1e-7}) {
    family.alpha = 1;
    family.beta = little;
    EXPECT_NEAR(by_hand(family), .28539639, 1e-6);
    std::swap(family.alpha, family.beta);
    EXPECT_NEAR(by_hand(family), .32335443, 1e-6);
  }
}

TEST(Distill, TopKIsCompletedAsTheConfigSays) {
  DistillConfig config = with("forward_kl");
  config.top_k = 2;
  EXPECT_NEAR(by_hand(config), .22439876, 1e-7);
  config.top_k_rest = "renormalise";
  EXPECT_NEAR(by_hand(config), .11094407, 1e-8);
  config.top_k_rest = "renormalise_teacher";
  EXPECT_NEAR(by_hand(config), .52249583, 1e-8);
  config.top_k_rest = "tail";
  config.top_k = 4;
  EXPECT_NEAR(by_hand(config), .28539639, 1e-6);
}

struct Case {
  std::string name;
  DistillConfig config;
  int64_t top_k = 0;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const double t : {1.0, 2.0}) {
    const std::string at = t == 1 ? "_T1" : "_T2";
    all.push_back({"forward_kl" + at, with("forward_kl", t)});
    all.push_back({"reverse_kl" + at, with("reverse_kl", t)});
    all.push_back({"skew_forward_kl" + at, with("skew_kl", t)});
    all.push_back({"skew_reverse_kl" + at, with("skew_reverse_kl", t)});
    all.push_back({"total_variation" + at, with("tvd", t)});
    for (const auto& [name, beta] :
         std::map<std::string, double>{{"0", 0}, {"0.1", .1}, {"0.5", .5}, {"0.9", .9}, {"1", 1}}) {
      DistillConfig jsd = with("jsd", t);
      jsd.beta = beta;
      all.push_back({"gkd_jsd_beta" + name + at, jsd});
    }
    DistillConfig teacher = with("forward_kl", t), both = teacher;
    teacher.top_k_rest = "renormalise_teacher";
    both.top_k_rest = "renormalise";
    all.push_back({"topk_renorm_teacher" + at, teacher, 8});
    all.push_back({"topk_renorm_both" + at, both, 8});
  }
  all.push_back({"topk_tail_bucket_forward_kl", with("forward_kl"), 8});
  all.push_back({"topk_tail_bucket_jsd", with("jsd"), 8});
  return all;
}

void expect_close(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  const double gap = (found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  // Rows with logits of hundreds are rounded in float32 before anything is done with them.
  EXPECT_LT(gap, 2e-4 * std::max(1.0, expected.abs().max().item<double>())) << what;
  const at::Tensor calm = expected.to(at::kDouble).abs() < 1;
  const at::Tensor gaps = (found.to(at::kDouble) - expected.to(at::kDouble)).abs() * calm;
  EXPECT_LT(gaps.max().item<double>(), 1e-5) << what;
}

TEST(Distill, RowsEqualTheReferenceInValueAndGradient) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const SafetensorsFile file(shared_path(std::string(kFixtures) + "/distillation.safetensors"));
  const at::Tensor chosen = (file.tensor("in.labels").flatten() != kIgnore).nonzero().squeeze(1);
  const auto rows = [&](const std::string& name) {
    const at::Tensor all = file.tensor(name);
    return (all.dim() == 3 ? all.flatten(0, 1) : all.flatten()).index_select(0, chosen);
  };
  const at::Tensor student = rows("in.student_logits"), teacher = rows("in.teacher_logits");
  ASSERT_EQ(chosen.numel(), 11);
  const auto kept = at::tensor({0}, at::kLong);
  int compared = 0;
  for (const Case& each : cases()) {
    const ChunkLoss loss =
        each.top_k == 0
            ? divergence_of_rows(student, teacher, each.config, true)
            : divergence_of_top_k(student, top_k_of(teacher, each.top_k, each.config.temperature),
                                  each.config, true);
    expect_close(loss.losses_C, rows(each.name + ".per_token"), each.name);
    expect_close(loss.dlogits_CV, rows(each.name + ".grad_of_sum"), each.name + " gradient");
    ++compared;
  }
  EXPECT_EQ(compared, 26);
  // What capture keeps says the same as the teacher itself.
  const TeacherRows stored{rows("in.teacher_topk_indices"), rows("in.teacher_topk_logprobs"),
                           top_k_of(teacher, 8, 1).tail_N};
  expect_close(divergence_of_top_k(student, stored, with("forward_kl"), true).dlogits_CV,
               rows("topk_tail_bucket_forward_kl.grad_of_sum"), "stored rows");
}

// The whole objective, through the head, against logits held at once.
TEST(Distill, TheChunkedHeadHasTheGradientsOfWholeLogits) {
  on_ranks(1, [](Mesh& mesh) {
    const Batch batch = tiny_batch();
    DistillConfig config = with("jsd", 2);
    config.ce_weight = 0.25;
    const Outcome chunked = outcome_of(config, batch, mesh);

    const auto student = tiny_model(at::kFloat, 1), teacher = tiny_model(at::kFloat, 2);
    const auto sharding = make_sharding(0, student->parameters(), mesh);
    const at::Tensor chosen = (batch.targets != kIgnore).nonzero().squeeze(1);
    const at::Tensor hidden = student->hidden(batch).index_select(0, chosen);
    const at::Tensor target = batch.targets.index_select(0, chosen).unsqueeze(1);
    const at::Tensor teacher_logits =
        teacher->logits(teacher->hidden(batch).index_select(0, chosen));
    // One row a chunk, with plain operations and autograd.
    const at::Tensor losses = student->logit_losses(
        hidden, [&](const at::Tensor& logits, const ChunkRequest& request) -> ChunkLoss {
          const at::AutoGradMode with_graph(true);
          at::Tensor x = logits.detach().to(at::kDouble).requires_grad_();
          const at::Tensor q = (x / 2).softmax(1),
                           p = (teacher_logits.to(at::kDouble) / 2).softmax(1), m = (p + q) / 2;
          const at::Tensor jsd = 0.5 * ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1));
          const at::Tensor ce = -x.log_softmax(1).gather(1, target).squeeze(1);
          const at::Tensor loss = 0.75 * jsd + 0.25 * ce;
          loss.sum().backward();
          EXPECT_TRUE(request.with_gradient);
          return {loss.detach().to(at::kFloat), x.grad().to(at::kFloat)};
        });
    losses.sum().backward();
    EXPECT_NEAR(chunked.loss / losses.sum().item<double>(), 1, 1e-6);
    const at::Tensor whole = all_gradients(*student);
    EXPECT_LT((chunked.gradients - whole).abs().max().item<double>(),
              1e-6 * whole.abs().max().item<double>() + 1e-7);
  });
}

// Chunks whose gradient was not kept are done again, and it makes no difference.
TEST(Distill, ChunksAndWhatIsKeptOfThemChangeNothing) {
  const at::Tensor teacher = at::randn({11, 29}), hidden = at::randn({11, 6}),
                   weight = at::randn({29, 6}), upstream = at::rand({11});
  std::vector<at::Tensor> losses, hidden_grads, weight_grads;
  for (const auto& [rows, keep] : std::vector<std::pair<int64_t, int64_t>>{
           {512, 1 << 20}, {3, 1 << 20}, {3, 0}, {4, 29 * 4 * 5}}) {
    Parameter head{
        .name = "w", .value = weight.clone().requires_grad_(), .grad = at::zeros({29, 6})};
    const at::Tensor x = hidden.clone().requires_grad_();
    int64_t forward = 0, again = 0;
    const at::Tensor loss =
        head_losses(x, head,
                    [&](const at::Tensor& logits, const ChunkRequest& request) {
                      EXPECT_LE(logits.size(0), rows);
                      (request.is_again ? again : forward) += logits.size(0);
                      return divergence_of_rows(
                          logits, teacher.slice(0, request.begin, request.begin + logits.size(0)),
                          with("reverse_kl"), request.with_gradient);
                    },
                    {.chunk_rows = rows, .keep_bytes = keep, .softcap = 3});
    (loss * upstream).sum().backward();
    EXPECT_EQ(forward, 11);
    EXPECT_EQ(again, keep == 0 ? 11 : keep < (1 << 20) ? 7 : 0);
    losses.push_back(loss.detach());
    hidden_grads.push_back(x.grad());
    weight_grads.push_back(head.grad);
    EXPECT_LT((losses.back() - losses[0]).abs().max().item<double>(), 1e-5);
    EXPECT_LT((hidden_grads.back() - hidden_grads[0]).abs().max().item<double>(), 1e-5);
    EXPECT_LT((weight_grads.back() - weight_grads[0]).abs().max().item<double>(), 1e-5);
  }
  // And with autograd over all at once.
  at::Tensor x = hidden.clone().requires_grad_(), w = weight.clone().requires_grad_();
  const at::Tensor log_q = (3 * (x.matmul(w.t()) / 3).tanh()).log_softmax(1);
  ((log_q.exp() * (log_q - teacher.log_softmax(1))).sum(1) * upstream).sum().backward();
  EXPECT_LT((x.grad() - hidden_grads[0]).abs().max().item<double>(), 1e-5);
  EXPECT_LT((w.grad() - weight_grads[0]).abs().max().item<double>(), 1e-5);
}

TEST(Distill, ATeacherThatAgreesHasNothingToSay) {
  on_ranks(1, [](Mesh& mesh) {
    const Batch batch = tiny_batch();
    const auto student = tiny_model(), teacher = tiny_model();
    const auto sharding = make_sharding(0, student->parameters(), mesh);
    for (const DivergenceEntry& entry : divergences()) {
      DistillConfig config = with(std::string(entry.name));
      DistillLoss loss(config, 37, {teacher.get()});
      const LossSum sum = loss(*student, batch);
      // alpha_beta divides a difference of powers by alpha x beta.
      EXPECT_NEAR(sum.sum.item<double>(), 0, entry.name == "alpha_beta" ? 1e-3 : 1e-5)
          << entry.name;
      sum.sum.backward();
      const MetricRow row = loss.take_metrics(mesh.dp(), false);
      EXPECT_EQ(row[2].first, "teacher_agreement");
      EXPECT_EQ(row[2].second, 1);
    }
    EXPECT_LT(all_gradients(*student).abs().max().item<double>(), 1e-4);
  });
}

TEST(Distill, RowsOfAllTokensEqualTheTeacherItself) {
  on_ranks(1, [](Mesh& mesh) {
    Batch batch = tiny_batch();
    for (const char* name : {"forward_kl", "reverse_kl", "jsd"}) {
      batch.teacher = {};
      const Outcome online = outcome_of(with(name), batch, mesh);
      const auto teacher = tiny_model(at::kFloat, 2);
      const at::NoGradGuard no_grad;
      const at::Tensor chosen = (batch.targets != kIgnore).nonzero().squeeze(1);
      batch.teacher =
          top_k_of(teacher->logits(teacher->hidden(batch).index_select(0, chosen)), 37, 1);
      const at::AutoGradMode with_graph(true);
      const Outcome offline = outcome_of(with(name), batch, mesh);
      EXPECT_NEAR(offline.loss / online.loss, 1, 1e-5) << name;
      EXPECT_LT((offline.gradients - online.gradients).abs().max().item<double>(), 1e-4) << name;
      // Fewer of them: what is left out joins the tail.
      DistillConfig few = with(name);
      few.top_k = 5;
      const Outcome from_all = outcome_of(few, batch, mesh);
      batch.teacher = {};
      EXPECT_NEAR(from_all.loss / outcome_of(few, batch, mesh).loss, 1, 1e-4) << name;
    }
  });
}

TEST(Distill, PaddedHeadsAreCroppedAndCrossEntropyIsNot) {
  on_ranks(1, [](Mesh& mesh) {
    const Batch batch = tiny_batch();
    DistillConfig only_ce = with("forward_kl");
    only_ce.ce_weight = 1;
    const Outcome cropped = outcome_of(only_ce, batch, mesh, 36);
    const auto student = tiny_model(at::kFloat, 1);
    EXPECT_NEAR(cropped.loss / cross_entropy(*student, batch).sum.item<double>(), 1, 1e-6);
    // Rows of the head beyond the vocabulary get no gradient from the divergence.
    const auto model = tiny_model(at::kFloat, 1), teacher = tiny_model(at::kFloat, 2);
    const auto sharding = make_sharding(0, model->parameters(), mesh);
    DistillLoss loss(with("forward_kl"), 30, {teacher.get()});
    loss(*model, batch).sum.backward();
    const Parameter* head = model->parameters().back();
    ASSERT_EQ(head->name, "lm_head.weight");
    EXPECT_EQ(head->grad.slice(0, 30).abs().max().item<double>(), 0);
    EXPECT_GT(head->grad.slice(0, 0, 30).abs().max().item<double>(), 0);
  });
}

TEST(Distill, WhatDoesNotGoTogetherIsSaid) {
  DistillConfig config;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("give one of them"));
  config.teacher_model_name_or_path = "t";
  EXPECT_TRUE(conflicts(config).empty());
  config.top_k_rest = "renormalise_teacher";
  config.divergence = "jsd";
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("only forward_kl"));
  config.top_k_rest = "tail";
  config.divergence = "minillm";
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("an lmbda above 0"));
  config.lmbda = 1;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("sampling_temperature: 1"));
  config.sampling_temperature = 1;
  EXPECT_TRUE(conflicts(config).empty());
  config.top_k = 2;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("whole distributions"));
  config.top_k = 0;
  config.teacher_mixed_alpha = 1;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("never answers itself"));
  config.divergence = "jsd";
  config.cross_vocabulary = "uld";
  EXPECT_TRUE(conflicts(config).empty());
  config.top_k = 4;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("or use aligned"));
  config.cross_vocabulary = "aligned";
  EXPECT_TRUE(conflicts(config).empty());
  config.seq_kd = true;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("which it does not know"));
  config = {};
  config.teacher_shards = {"s"};
  config.lmbda = 0.5;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("need a teacher that answers"));
}

}  // namespace
}  // namespace lathe

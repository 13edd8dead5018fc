#include "trainer/objective/preference_losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/shared.h"
#include "trainer/objective/preference.h"
#include "trainer/safetensors.h"

// Every loss against the reference's values and gradients, and against what can be worked out by hand.
namespace lathe {
namespace {

constexpr const char* kFixtures = "fixtures/losses";

nlohmann::json read_json(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

struct Case {
  std::string name;
  std::vector<std::string> losses;
  PreferenceConfig config = {};
  bool by_mean = false;  // the fixture's gradients are of mean log-probabilities
};

PreferenceConfig with(double beta, double smoothing = 0) {
  PreferenceConfig config;
  config.beta = beta;
  config.label_smoothing = smoothing;
  return config;
}

std::vector<Case> cases() {
  PreferenceConfig js = with(0.1), simpo = with(2), discopop = with(0.05), sft = with(0.1);
  js.f_divergence_type = "js_divergence";
  simpo.simpo_gamma = 1;
  discopop.discopop_tau = 0.05;
  sft.loss_weights = {"1", "0.2"};
  return {{"dpo_sigmoid", {"sigmoid"}, with(0.1)},
          {"dpo_sigmoid_beta0.5", {"sigmoid"}, with(0.5)},
          {"cdpo", {"conservative"}, with(0.1, 0.1)},
          {"robust", {"robust"}, with(0.1, 0.1)},
          {"hinge", {"hinge"}, with(0.1)},
          {"ipo", {"ipo"}, with(0.1)},
          {"ipo_sum", {"ipo_sum"}, with(0.1)},
          {"sigmoid_norm", {"sigmoid_norm"}, with(2)},
          {"exo_pair", {"exo_pair"}, with(0.1, 0.001)},
          {"nca_pair", {"nca_pair"}, with(0.1)},
          {"bco_pair", {"bco_pair"}, with(0.1)},
          {"sppo_hard", {"sppo_hard"}, with(0.1)},
          {"apo_zero", {"apo_zero"}, with(0.1)},
          {"apo_down", {"apo_down"}, with(0.1)},
          {"discopop", {"discopop"}, discopop},
          {"f_js_divergence", {"sigmoid"}, js},
          {"irpo", {"irpo"}, with(0.1)},
          {"dpo_plus_sft", {"sigmoid", "sft"}, sft},
          {"simpo", {"simpo"}, simpo, true},
          {"cpo", {"cpo"}, with(0.1)},
          {"cpo_hinge", {"cpo_hinge"}, with(0.1)},
          {"orpo_odds_ratio_term", {"orpo"}, with(0.1), true}};
}

void expect_close(const at::Tensor& found, const at::Tensor& expected, const std::string& what) {
  const at::Tensor wanted = expected.to(at::kDouble);
  EXPECT_TRUE(at::allclose(found.to(at::kDouble), wanted, 2e-5, 2e-7)) << what << "\n" << found << "\n" << wanted;
}

at::Tensor sum_losses(const Case& each, const PairTerms& terms) {
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (size_t i = 0; i < each.losses.size(); ++i) {
    const auto& weights = each.config.loss_weights;
    const double weight = weights.empty() ? 1 : std::stod(weights[i]);
    sum = sum + weight * preference_loss(each.losses[i]).pairs(terms, each.config);
  }
  return sum;
}

TEST(PreferenceLosses, PairsEqualTheReferenceInValueAndGradient) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string folder = shared_path(kFixtures);
  const SafetensorsFile file(folder + "/preference.safetensors");
  const auto expected = read_json(folder + "/preference.json").at("cases");
  const auto in = [&](const std::string& name) { return file.tensor("in." + name).to(at::kDouble); };
  int compared = 0;
  for (const Case& each : cases()) {
    at::Tensor chosen = in("policy_chosen_logps").requires_grad_(), rejected = in("policy_rejected_logps").requires_grad_();
    const at::Tensor lengths = in("chosen_lengths");
    const PairTerms terms{.chosen_P = chosen,
                          .rejected_P = rejected,
                          .ref_chosen_P = in("ref_chosen_logps"),
                          .ref_rejected_P = in("ref_rejected_logps"),
                          .chosen_length_P = lengths,
                          .rejected_length_P = in("rejected_lengths"),
                          .chosen_nll_P = -chosen,
                          .chosen_tokens = lengths.mean().item<double>()};
    const at::Tensor losses = sum_losses(each, terms);
    losses.mean().backward();
    const double loss = expected.at(each.name).at("loss");
    EXPECT_NEAR(losses.mean().item<double>() / loss, 1, 2e-5) << each.name;
    if (file.contains(each.name + ".per_pair")) expect_close(losses.detach(), file.tensor(each.name + ".per_pair"), each.name);
    const at::Tensor chosen_grad = chosen.grad(), rejected_grad = rejected.grad();
    if (each.name == "dpo_plus_sft") {
      expect_close(chosen_grad, file.tensor(each.name + ".grad_chosen_tokens").select(1, 0), each.name);
    } else if (each.by_mean) {
      expect_close(chosen_grad * lengths, file.tensor(each.name + ".grad_chosen_mean_logp"), each.name);
      expect_close(rejected_grad * terms.rejected_length_P, file.tensor(each.name + ".grad_rejected_mean_logp"), each.name);
    } else {
      expect_close(chosen_grad, file.tensor(each.name + ".grad_chosen"), each.name);
      expect_close(rejected_grad, file.tensor(each.name + ".grad_rejected"), each.name);
    }
    ++compared;
  }
  EXPECT_EQ(compared, 22);
}

TEST(PreferenceLosses, SingleAnswersEqualTheReferenceInValueAndGradient) {
  if (!have_shared(kFixtures)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string folder = shared_path(kFixtures);
  const SafetensorsFile file(folder + "/kto.safetensors");
  int compared = 0;
  const nlohmann::json cases = read_json(folder + "/kto.json").at("cases");
  for (const auto& [name, expected] : cases.items()) {
    PreferenceConfig config = with(expected["params"]["beta"]);
    config.desirable_weight = expected["params"]["desirable_weight"];
    config.undesirable_weight = expected["params"]["undesirable_weight"];
    const std::string loss = expected["params"]["loss_type"];
    const size_t labels = name.find('.', name.find('.') + 1) + 1;
    const at::Tensor label = file.tensor("in.label_" + name.substr(labels, name.find('.', labels) - labels));
    at::Tensor policy = file.tensor("in.policy_logps").to(at::kDouble).requires_grad_();
    const AnswerTerms terms{.policy_P = policy,
                            .ref_P = file.tensor("in.ref_logps").to(at::kDouble),
                            .good_P = label > 0,
                            .kl = expected["kl"]};
    const at::Tensor mean = preference_loss(loss).answers(terms, config).mean();
    mean.backward();
    EXPECT_NEAR(mean.item<double>(), expected["loss"].get<double>(), 1e-6) << name;
    expect_close(policy.grad(), file.tensor(name + ".grad_policy_logps"), name);
    ++compared;
  }
  EXPECT_EQ(compared, 14);
}

TEST(PreferenceLosses, StartWhereTheTableSays) {
  const at::Tensor logp = at::full({3}, -40.0, at::kDouble), length = at::full({3}, 20.0, at::kDouble);
  const PairTerms pairs{logp, logp, logp, logp, length, length, -logp, 20};
  const AnswerTerms answers{logp, logp, at::tensor({1, 0, 1}) > 0, 0};
  PreferenceConfig config = with(0.1, 0.1);
  int compared = 0;
  for (const PreferenceLossEntry& entry : preference_losses()) {
    if (!entry.at_start) continue;
    const at::Tensor losses = entry.pairs ? entry.pairs(pairs, config) : entry.answers(answers, config);
    EXPECT_NEAR(losses.mean().item<double>(), entry.at_start(config), 1e-12) << entry.name;
    ++compared;
  }
  EXPECT_EQ(compared, 16);
  EXPECT_NEAR(preference_loss("ipo").at_start(config), 25, 1e-12);
}

TEST(PreferenceLosses, WhatDoesNotGoTogetherIsSaid) {
  PreferenceConfig config;
  EXPECT_TRUE(conflicts(config).empty());
  config.loss_type = {"sigmoid", "kto"};
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("do not go together"));
  config.loss_type = {"frob"};
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("found `frob`, expected of sigmoid, conservative"));
  config.loss_type = {"sigmoid"};
  config.label_smoothing = 0.1;
  EXPECT_THAT(conflicts(config).at(0).reason, testing::HasSubstr("conservative, robust and exo_pair only"));
}

}  // namespace
}  // namespace lathe

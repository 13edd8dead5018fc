#include <filesystem>

#include "tests/trainer/parity.h"
#include "trainer/models/transformer.h"

// What mixtures of experts have beyond the other families (families_test.cpp holds them to the
// reference's logits, loss and gradients too).
namespace lathe {
namespace {

std::unique_ptr<Model> with_balance(const std::string& fixture, double coefficient) {
  ModelConfig config = read_model_config(folder_of(fixture));
  config.output_router_logits = true;
  config.router_aux_loss_coef = coefficient;
  const std::map<std::string, at::Tensor> weights = read_weights(folder_of(fixture));
  std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU);
  const at::NoGradGuard no_grad;
  for (Parameter* p : model->parameters()) {
    p->value.copy_(weights.at(p->name));
    p->grad = at::zeros_like(p->value);
  }
  return model;
}

TEST(Experts, GiveTheReferencesBalanceLossAndItsGradient) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const char* fixture : {"mixtral", "qwen3_moe"}) {
    const auto expected = read_tensors(folder_of(fixture) + "/expected.safetensors");
    const auto model = with_balance(fixture, 1);
    model->hidden(batch_of(documents_of(expected)));
    const at::Tensor loss = model->take_auxiliary_loss();
    EXPECT_NEAR(loss.item<double>(), expected.at("aux_loss").item<double>(), 1e-5);
    EXPECT_FALSE(model->take_auxiliary_loss().defined()) << "handed over once";
    loss.backward();
    for (Parameter* p : model->parameters()) {
      if (expected.count("grad_aux." + p->name) == 0) continue;
      EXPECT_LT(difference(p->grad, expected.at("grad_aux." + p->name)), 1e-4) << p->name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 4);
}

TEST(Experts, JoinTheirBalanceToTheMeanLoss) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto expected = read_tensors(folder_of("mixtral") + "/expected.safetensors");
  const Batch batch = batch_of(documents_of(expected));
  const double loss = expected.at("loss").item<double>(),
               balance = expected.at("aux_loss").item<double>();
  EXPECT_NEAR(run_backward(*with_balance("mixtral", 0.5), batch), loss + 0.5 * balance, 1e-4);
  EXPECT_NEAR(run_backward(*load_fixture(folder_of("mixtral"), at::kFloat), batch), loss, 1e-4);
}

// A batch of one token, where most experts have none, and layers without experts.
TEST(Experts, ServeAnyNumberOfTokensInSomeLayers) {
  ModelConfig config = parse_model_config(
      R"({"model_type": "qwen3_moe", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
          "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
          "num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 8,
          "initializer_range": 0.4, "decoder_sparse_step": 2, "mlp_only_layers": [3]})",
      "sparse");
  EXPECT_EQ(config.dense_layers, (std::vector<bool>{true, false, true, true}));
  EXPECT_FALSE(config.norm_topk_prob);
  const auto model = make_model(config, at::kFloat, at::kCPU);
  initialize(*model, 1);
  std::map<std::string, int> names;
  for (Parameter* p : model->parameters()) names[p->name] = 1;
  EXPECT_EQ(names.count("model.layers.1.mlp.experts.4.down_proj.weight"), 1u);
  EXPECT_EQ(names.count("model.layers.1.mlp.gate_proj.weight"), 0u);
  EXPECT_EQ(names.count("model.layers.3.mlp.gate_proj.weight"), 1u);

  const at::NoGradGuard no_grad;
  Document document;
  for (int64_t i = 0; i < 50; ++i) document.ids.push_back((i * 7 + 1) % 40);
  const at::Tensor whole = model->hidden(batch_of({document}));
  KvCache cache = model->make_cache(50);
  KvCache* caches[] = {&cache};
  for (int64_t i = 0; i < 50; ++i) {
    const at::Tensor one = model->hidden(batch_of({{{document.ids[i]}, {}}}), caches);
    EXPECT_LT(difference(one[0], whole[i]), 1e-5) << i;
  }
}

TEST(Experts, AreReadByNameAndRefusedByName) {
  const auto refusal = [](const std::string& more) -> std::string {
    try {
      parse_model_config(R"({"model_type": "mixtral", "vocab_size": 40, "hidden_size": 16,
          "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 2, )" +
                             more + "}",
                         "config");
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(R"("num_local_experts": 3)"), "accepted");
  EXPECT_THAT(refusal(R"("num_local_experts": 3, "num_experts_per_tok": 4)"),
              testing::HasSubstr("num_experts_per_tok is 4 but there are 3 experts"));
  EXPECT_THAT(refusal(R"("num_local_experts": 0)"), testing::HasSubstr("num_local_experts is 0"));
  EXPECT_THAT(refusal(R"("router_jitter_noise": 0.1)"), testing::HasSubstr("router_jitter_noise"));
  EXPECT_THAT(refusal(R"("router_aux_loss_coef": -1)"), testing::HasSubstr("router_aux_loss_coef"));
}

}  // namespace
}  // namespace lathe

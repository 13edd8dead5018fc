#include <cmath>

#include "tests/trainer/parity.h"
#include "trainer/models/transformer.h"

// Families of which no reference is at hand: against plain sums of ATen's operations, and by what
// must hold of them.
namespace lathe {
namespace {

std::unique_ptr<Model> random_model(const std::string& model_type, const std::string& more) {
  const ModelConfig config = parse_model_config(
      R"({"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
          "num_key_value_heads": 2, "initializer_range": 0.4, "model_type": ")" +
          model_type + "\"" + more + "}",
      model_type);
  std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU);
  initialize(*model, 3);
  const at::NoGradGuard no_grad;
  for (Parameter* p : model->parameters()) {
    p->grad = at::zeros_like(p->value);
    if (p->value.dim() == 1) p->value.add_(0.2 * random_tensor(p->value.sizes(), at::kFloat, 7));
  }
  return model;
}

std::map<std::string, at::Tensor> weights_of(Model& model) {
  std::map<std::string, at::Tensor> weights;
  for (Parameter* p : model.parameters()) {
    weights[p->name] = p->value.detach().clone().set_requires_grad(true);
  }
  return weights;
}

// OLMo 2 as its paper has it: x + norm(attention(x)), then + norm(mlp(x)).
at::Tensor plain_olmo2(const ModelConfig& c, std::map<std::string, at::Tensor>& w,
                       const Batch& batch) {
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    return x * (x.square().mean(-1, true) + c.rms_norm_eps).rsqrt() * w.at(name + ".weight");
  };
  const auto times = [&](const at::Tensor& x, const std::string& name) {
    return at::mm(x, w.at(name + ".weight").t());
  };
  const int64_t T = batch.tokens.size(0), D = c.head_dim;
  RotaryTable table(rotary_frequencies(c), at::kCPU);
  const RotaryAngles angles = table.at(batch.positions, T);
  const at::Tensor cos = at::cat({angles.cos, angles.cos}, 1).unsqueeze(1),
                   sin = at::cat({angles.sin, angles.sin}, 1).unsqueeze(1);
  const auto turn = [&](const at::Tensor& x) {
    const at::Tensor heads = x.view({T, -1, D});
    const auto halves = heads.chunk(2, -1);
    return heads * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
  };
  at::Tensor x = w.at("model.embed_tokens.weight").index_select(0, batch.tokens);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i), at = layer + ".self_attn.";
    const at::Tensor q = turn(norm(times(x, at + "q_proj"), at + "q_norm"));
    const at::Tensor k = turn(norm(times(x, at + "k_proj"), at + "k_norm"));
    const at::Tensor v = times(x, at + "v_proj").view({T, -1, D});
    const at::Tensor y = plain_attention(q, k, v, batch.cu_seqlens,
                                         {.scale = 1 / std::sqrt(static_cast<double>(D))});
    x = x + norm(times(y.flatten(1), at + "o_proj"), layer + ".post_attention_layernorm");
    const at::Tensor gate = times(x, layer + ".mlp.gate_proj");
    const at::Tensor up = gate * gate.sigmoid() * times(x, layer + ".mlp.up_proj");
    x = x + norm(times(up, layer + ".mlp.down_proj"), layer + ".post_feedforward_layernorm");
  }
  return norm(x, "model.norm");
}

TEST(Olmo2, EqualsItsEquationsWithGradients) {
  const auto model = random_model("olmo2", R"(, "num_hidden_layers": 2)");
  const Batch batch = batch_of({{{3, 14, 15, 9, 26, 5, 35, 8}, {}}, {{9, 7, 9}, {}}});
  auto weights = weights_of(*model);
  const at::Tensor expected = plain_olmo2(model->config(), weights, batch);
  const at::Tensor got = model->hidden(batch), pull = random_tensor({11, 16}, at::kFloat, 5);
  EXPECT_LT(difference(got, expected), 1e-5);
  expected.backward(pull);
  got.backward(pull);
  int compared = 0;
  for (Parameter* p : model->parameters()) {
    if (p->name == "lm_head.weight") continue;
    EXPECT_LT(difference(p->grad, weights.at(p->name).grad()), 1e-4) << p->name;
    ++compared;
  }
  EXPECT_EQ(compared, 2 + 2 * 11);
}

TEST(SmolLm3, IsLlamaWhereEveryLayerTurns) {
  const std::string sizes = R"(, "num_hidden_layers": 2, "rope_theta": 10000.0,
      "tie_word_embeddings": true)";
  const auto smol = random_model("smollm3", sizes + R"(, "no_rope_layers": [1, 1])");
  const auto llama = random_model("llama", sizes);
  const Batch batch = batch_of({{{3, 14, 15, 9, 26, 5}, {}}});
  EXPECT_TRUE(same_bits(smol->hidden(batch), llama->hidden(batch)));
}

TEST(SmolLm3, ALayerWithoutPositionsDoesNotKnowTheOrder) {
  const auto last = [](const std::string& more, const std::vector<int64_t>& ids) {
    const auto model = random_model("smollm3", R"(, "num_hidden_layers": 1)" + more);
    return model->hidden(batch_of({{ids, {}}}))[static_cast<int64_t>(ids.size()) - 1].detach();
  };
  const std::string none = R"(, "no_rope_layer_interval": 1)";
  EXPECT_LT(difference(last(none, {7, 3, 21, 5}), last(none, {21, 7, 3, 5})), 1e-5);
  EXPECT_GT(difference(last("", {7, 3, 21, 5}), last("", {21, 7, 3, 5})), 1e-3);
}

TEST(Gpt2, RefusesASequenceBeyondItsPositions) {
  const ModelConfig config = parse_model_config(
      R"({"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2,
          "n_positions": 4})",
      "gpt2");
  const auto model = make_model(config, at::kFloat, at::kCPU);
  initialize(*model, 1);
  EXPECT_EQ(model->hidden(batch_of({{{1, 2, 3, 4}, {}}})).size(0), 4);
  try {
    model->hidden(batch_of({{{1, 2, 3, 4, 5}, {}}}));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("5 tokens"));
  }
}

}  // namespace
}  // namespace lathe

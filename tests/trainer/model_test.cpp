#include "trainer/model.h"

#include "tests/trainer/kernel_check.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

ModelConfig tiny() {
  ModelConfig c;
  c.model_type = "llama";
  c.vocab_size = 40;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.max_position_embeddings = 64;
  c.attention_bias = true;
  return c;
}

TEST(Philox, GivesTheAuthorsNumbers) {
  // Known answers of Random123, philox4x32_10.
  EXPECT_EQ(philox(0, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Initialize, DependsOnSeedNameAndElementOnly) {
  const auto a = make_model(tiny(), at::kFloat, at::kCPU),
             b = make_model(tiny(), at::kFloat, at::kCPU);
  at::set_num_threads(1);
  initialize(*a, 7);
  at::set_num_threads(2);
  initialize(*b, 7);
  const auto pa = a->parameters(), pb = b->parameters();
  for (size_t i = 0; i < pa.size(); ++i)
    EXPECT_TRUE(same_bits(pa[i]->value, pb[i]->value)) << pa[i]->name;
  initialize(*b, 8);
  EXPECT_FALSE(same_bits(pa[0]->value, pb[0]->value));
  EXPECT_FALSE(same_bits(pa[1]->value, pa[11]->value));  // the same shape, another name
}

TEST(Initialize, IsNormalWithTheConfigsRange) {
  const auto model = make_model(tiny(), at::kFloat, at::kCPU);
  initialize(*model, 1);
  for (Parameter* p : model->parameters()) {
    if (p->name.ends_with(".bias")) {
      EXPECT_EQ(p->value.abs().max().item<float>(), 0) << p->name;
    } else if (p->value.dim() == 1) {
      EXPECT_TRUE(same_bits(p->value, at::ones_like(p->value))) << p->name;
    } else {
      const double n = static_cast<double>(p->value.numel());
      EXPECT_NEAR(p->value.mean().item<double>(), 0, 5 * 0.02 / std::sqrt(n)) << p->name;
      EXPECT_NEAR(p->value.std().item<double>(), 0.02, 5 * 0.02 / std::sqrt(2 * n)) << p->name;
    }
  }
}

TEST(Model, ListsItsParametersOnceWithHuggingFaceNames) {
  ModelConfig config = tiny();
  config.tie_word_embeddings = true;
  const auto tied = make_model(config, at::kFloat, at::kCPU);
  const auto untied = make_model(tiny(), at::kFloat, at::kCPU);
  EXPECT_EQ(untied->parameters().size(), tied->parameters().size() + 1);
  EXPECT_EQ(untied->parameters().back()->name, "lm_head.weight");
  EXPECT_EQ(untied->parameters()[0]->name, "model.embed_tokens.weight");
  EXPECT_EQ(untied->parameters()[1]->name, "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(untied->parameters()[2]->name, "model.layers.0.self_attn.q_proj.bias");
  for (Parameter* p : untied->parameters())
    EXPECT_TRUE(p->trained && p->value.requires_grad()) << p->name;
}

TEST(Model, RefusesHeadsThatDoNotDivide) {
  ModelConfig config = tiny();
  config.num_key_value_heads = 3;
  EXPECT_THROW(make_model(config, at::kFloat, at::kCPU), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

#include "trainer/objective/objective.h"

#include "tests/trainer/parity.h"

namespace lathe {
namespace {

std::unique_ptr<Model> tiny_model(at::ScalarType type = at::kFloat) {
  ModelConfig c;
  c.model_type = "llama";
  c.vocab_size = 40;
  c.hidden_size = 32;
  c.intermediate_size = 48;
  c.num_hidden_layers = 2;
  c.num_attention_heads = c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.initializer_range = 0.3;
  auto model = make_model(c, type, at::kCPU);
  initialize(*model, 5);
  for (Parameter* p : model->parameters()) p->grad = at::zeros(p->value.sizes(), at::kFloat);
  return model;
}

const Document kDocument{{3, 1, 4, 1, 5, 9, 2, 6}, {3, 1, kIgnore, 1, 5, kIgnore, 2, 6}};

TEST(CrossEntropy, SumsWeightedTargetsOnly) {
  const auto model = tiny_model();
  Batch batch = batch_of({kDocument});
  ASSERT_EQ(batch.num_targets, 5);
  batch.weights = batch.weights * at::arange(1, 9, at::kFloat);
  const LossSum loss = cross_entropy(*model, batch);
  EXPECT_EQ(loss.count, 5);
  const at::Tensor log_probs = model->logits(model->hidden(batch)).log_softmax(1);
  double expected = 0;
  for (const int64_t t : {0, 2, 3, 5, 6}) {
    const int64_t target = batch.targets[t].item<int64_t>();
    expected -= static_cast<double>(t + 1) * log_probs[t][target].item<double>();
  }
  EXPECT_NEAR(loss.sum.item<double>(), expected, 1e-5 * expected);
}

TEST(CrossEntropy, ItsGradientIsThatOfASmallStep) {
  const auto model = tiny_model();
  const Batch batch = batch_of({kDocument});
  cross_entropy(*model, batch).sum.backward();
  for (Parameter* p : model->parameters()) {
    const double slope = p->grad.norm().item<double>();
    ASSERT_GT(slope, 0) << p->name;
    const at::NoGradGuard no_grad;
    const at::Tensor before = p->value.clone(), step = p->grad / slope * 1e-2;
    p->value.copy_(before + step);
    const double above = cross_entropy(*model, batch).sum.item<double>();
    p->value.copy_(before - step);
    const double below = cross_entropy(*model, batch).sum.item<double>();
    p->value.copy_(before);
    EXPECT_NEAR((above - below) / 2e-2 / slope, 1, 2e-2) << p->name;
  }
}

TEST(CrossEntropy, InBfloat16IsCloseToFloat32) {
  const auto wide = tiny_model(), narrow = tiny_model(at::kBFloat16);
  const Batch batch = batch_of({kDocument});
  EXPECT_NEAR(run_backward(*narrow, batch) / run_backward(*wide, batch), 1, 2e-2);
  const auto a = wide->parameters(), b = narrow->parameters();
  for (size_t i = 0; i < a.size(); ++i) {
    const double cosine = at::dot(a[i]->grad.flatten(), b[i]->grad.flatten()).item<double>() /
                          (a[i]->grad.norm() * b[i]->grad.norm()).item<double>();
    EXPECT_GT(cosine, 0.99) << a[i]->name;
  }
}

TEST(CrossEntropy, WithoutTargetsIsZero) {
  const auto model = tiny_model();
  const LossSum loss = cross_entropy(*model, batch_of({{{1, 2, 3}, {}}}));
  EXPECT_EQ(loss.count, 0);
  EXPECT_EQ(loss.sum.item<double>(), 0);
  loss.sum.backward();
  for (Parameter* p : model->parameters()) EXPECT_EQ(p->grad.abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace lathe

#include "trainer/objective/layer_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "tests/tiny.h"
#include "tests/trainer/kernel_check.h"
#include "trainer/objective/attention_maps.h"
#include "trainer/objective/distill.h"
#include "trainer/objective/divergences.h"

// Hidden states and attention maps of two models: against plain operations in float64, and against
// themselves however activations are kept.
namespace lathe {
namespace {

at::Tensor leaf(std::vector<int64_t> shape, uint64_t seed) {
  return random_tensor(shape, at::kDouble, seed).set_requires_grad(true);
}

// The whole map of a document, by plain operations.
at::Tensor plain_map(const LayerStates::Attention& layer, int64_t begin, int64_t end) {
  const int64_t group = layer.q_TQD.size(1) / layer.k_TKD.size(1), n = end - begin;
  const at::Tensor q = layer.q_TQD.slice(0, begin, end).transpose(0, 1),
                   k = layer.k_TKD.slice(0, begin, end).transpose(0, 1).repeat_interleave(group, 0);
  at::Tensor scores = at::matmul(q, k.transpose(1, 2)) * layer.scoring.scale;
  const double cap = layer.scoring.softcap;
  if (cap > 0) scores = cap * (scores / cap).tanh();
  const at::Tensor all = at::ones({n, n}, at::kBool);
  at::Tensor hidden = all.triu(1);
  if (layer.scoring.window > 0) hidden = hidden.logical_or(all.tril(-layer.scoring.window));
  return scores.masked_fill(hidden, -INFINITY).softmax(-1);
}

at::Tensor plain_loss(const LayerStates::Attention& student, const LayerStates::Attention& teacher,
                      const std::vector<int64_t>& cu_seqlens, const at::Tensor& weights_T,
                      const MapDistance& distance) {
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    const int64_t begin = cu_seqlens[d], end = cu_seqlens[d + 1];
    at::Tensor s = plain_map(student, begin, end), t = plain_map(teacher, begin, end);
    if (distance.mean_heads) {
      s = s.mean(0, true);
      t = t.mean(0, true);
    }
    const at::Tensor seen = (s.detach() > 0).to(at::kDouble);
    const at::Tensor rows = distance.kl
                                ? (t * ((t + (1 - seen)).log() - (s + (1 - seen)).log())).sum(-1)
                                : (s - t).square().sum(-1) / seen.sum(-1);
    sum = sum + at::dot(rows.mean(0), weights_T.slice(0, begin, end));
  }
  return sum;
}

// Two documents, the first of many chunks; some tokens do not count.
TEST(AttentionMaps, EqualPlainOperationsInValueAndGradient) {
  const std::vector<int64_t> cu_seqlens{0, 560, 569};
  at::Tensor weights_T = random_tensor({569}, at::kDouble, 5).abs();
  weights_T.slice(0, 0, 569, 3).zero_();
  for (const bool kl : {true, false}) {
    for (const bool mean_heads : {false, true}) {
      for (const Scoring& scoring : {Scoring{0.7, 11}, Scoring{0.5, 0, 3}}) {
        SCOPED_TRACE(testing::Message() << kl << mean_heads << scoring.window);
        const LayerStates::Attention student{leaf({569, 4, 6}, 1), leaf({569, 2, 6}, 2), scoring},
            teacher{leaf({569, mean_heads ? 8 : 4, 5}, 3).detach(), leaf({569, 4, 5}, 4).detach(),
                    scoring};
        const MapDistance distance{.kl = kl, .mean_heads = mean_heads, .num_heads = 4};
        const at::Tensor found =
                             attention_map_loss(student, teacher, cu_seqlens, weights_T, distance),
                         expected = plain_loss(student, teacher, cu_seqlens, weights_T, distance);
        EXPECT_GT(expected.item<double>(), 0);
        EXPECT_NEAR(found.item<double>() / expected.item<double>(), 1, 1e-12);
        const auto gradients = [&](const at::Tensor& loss) {
          return torch::autograd::grad({3 * loss}, {student.q_TQD, student.k_TKD});
        };
        const auto own = gradients(found), plain = gradients(expected);
        for (size_t i = 0; i < 2; ++i) {
          EXPECT_GT(plain[i].abs().max().item<double>(), 1e-3);
          EXPECT_LT((own[i] - plain[i]).abs().max().item<double>(), 1e-12);
        }
      }
    }
  }
}

// What a map does not see is not compared, and a map is not far from itself.
TEST(AttentionMaps, AreNotFarFromThemselves) {
  const LayerStates::Attention layer{leaf({9, 4, 6}, 1), leaf({9, 2, 6}, 2), {0.5, 3}};
  const at::Tensor weights_T = at::ones({9}, at::kDouble);
  for (const bool kl : {true, false}) {
    const at::Tensor loss =
        attention_map_loss(layer, layer, {0, 4, 9}, weights_T, {.kl = kl, .num_heads = 4});
    EXPECT_NEAR(loss.item<double>(), 0, 1e-15);
  }
}

std::unique_ptr<Model> some_model(int64_t hidden_size, int64_t layers, at::ScalarType type,
                                  uint64_t seed) {
  ModelConfig config;
  config.model_type = "llama";
  config.vocab_size = 37;
  config.hidden_size = hidden_size;
  config.intermediate_size = 24;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.max_position_embeddings = 64;
  config.initializer_range = 0.4;
  std::unique_ptr<Model> model = make_model(config, type, at::kCPU);
  initialize(*model, seed);
  for (Parameter* p : model->parameters()) p->grad = at::zeros(p->value.sizes(), type);
  return model;
}

DistillConfig both_terms() {
  DistillConfig config;
  config.hidden_weight = 0.7;
  config.attention_weight = 1.3;
  config.layer_map = {"0:0", "1:2", "2:3"};
  return config;
}

Batch some_batch() {
  TinyData data{.rows_per_micro_batch = 4};
  return tiny_batches(data).next()[0];
}

struct Pair {
  explicit Pair(const DistillConfig& config, at::ScalarType type = at::kDouble)
      : student(some_model(16, 2, type, 1)),
        teacher(some_model(24, 3, type, 2)),
        terms(config, *student, teacher->config(), 3) {
    for (Parameter* p : terms.parameters())
      p->grad = at::zeros(p->value.sizes(), p->value.options());
    for (Parameter* p : teacher->parameters()) p->value.requires_grad_(false);
  }
  at::Tensor loss(const Batch& batch) {
    LayerStates of_student = terms.student_states(), of_teacher = terms.teacher_states();
    student->hidden(batch, of_student);
    TeacherModel{teacher.get()}.hidden(batch, &of_teacher);
    return terms(of_student, of_teacher, batch, false);
  }
  std::vector<Parameter*> parameters() {
    std::vector<Parameter*> all = student->parameters();
    for (Parameter* p : terms.parameters()) all.push_back(p);
    return all;
  }

  std::unique_ptr<Model> student, teacher;
  LayerTerms terms;
};

// The same of whole tensors, from what the forwards show.
at::Tensor plain_terms(Pair& pair, const Batch& batch, const DistillConfig& config) {
  LayerStates own{.hidden_TH = {{0, {}}, {1, {}}, {2, {}}}, .attention = {{1, {}}, {2, {}}}},
      goal{.hidden_TH = {{0, {}}, {2, {}}, {3, {}}}, .attention = {{2, {}}, {3, {}}}};
  pair.student->hidden(batch, own);
  TeacherModel{pair.teacher.get()}.hidden(batch, &goal);
  at::Tensor hidden = at::zeros({}, at::kDouble), maps = hidden;
  const at::Tensor weights_T = batch.weights.to(at::kDouble) * (batch.targets != kIgnore);
  for (const auto& [s, t] : {std::pair{0, 0}, std::pair{1, 2}, std::pair{2, 3}}) {
    const at::Tensor w = pair.terms.parameters()[static_cast<size_t>(s)]->value.detach();
    const at::Tensor gap = at::mm(own.hidden_TH[s], w.t()) - goal.hidden_TH[t];
    hidden = hidden + at::dot(gap.square().mean(1), weights_T) / 3;
    if (s == 0) continue;
    maps = maps + plain_loss(own.attention[s], goal.attention[t], batch.cu_seqlens, weights_T,
                             {.kl = true}) /
                      2;
  }
  return config.hidden_weight * hidden + config.attention_weight * maps;
}

TEST(LayerTerms, EqualPlainOperationsDownToTheWeights) {
  const Batch batch = some_batch();
  const DistillConfig config = both_terms();
  Pair pair(config), plain(config);
  const at::Tensor found = pair.loss(batch), expected = plain_terms(plain, batch, config);
  EXPECT_NEAR(found.item<double>() / expected.item<double>(), 1, 1e-12);
  found.backward();
  expected.backward();
  const auto own = pair.student->parameters(), other = plain.student->parameters();
  for (size_t i = 0; i < own.size(); ++i)
    EXPECT_LT((own[i]->grad - other[i]->grad).abs().max().item<double>(), 1e-12) << own[i]->name;
  EXPECT_GT(own[0]->grad.abs().max().item<double>(), 1e-4);

  // The projections' gradients: the loss is quadratic in them, so a difference is exact.
  for (Parameter* p : pair.terms.parameters()) {
    const at::NoGradGuard no_grad;
    const at::Tensor direction = random_tensor(p->value.sizes(), at::kDouble, 9);
    const auto at_step = [&](double step) {
      p->value.add_(direction, step);
      const double loss = pair.loss(batch).item<double>();
      p->value.add_(direction, -step);
      return loss;
    };
    const double slope = (p->grad * direction).sum().item<double>();
    EXPECT_NEAR((at_step(0.5) - at_step(-0.5)) / slope, 1, 1e-9) << p->name;
  }
}

TEST(LayerTerms, AreTheSameBitsHoweverActivationsAreKept) {
  const Batch batch = some_batch();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    std::vector<std::vector<at::Tensor>> gradients;
    for (const Checkpointing mode :
         {Checkpointing::kOff, Checkpointing::kBlock, Checkpointing::kSelective}) {
      Pair pair(both_terms(), type);
      for (Parameter* p : pair.parameters()) p->grad = at::zeros(p->value.sizes(), at::kFloat);
      pair.student->set_checkpointing(mode);
      pair.loss(batch).backward();
      gradients.emplace_back();
      for (Parameter* p : pair.parameters()) gradients.back().push_back(p->grad.clone());
    }
    EXPECT_GT(gradients[0][0].abs().max().item<double>(), 0);
    for (size_t mode = 1; mode < 3; ++mode) {
      // The embedding's is a sum of three parts, whose order is another one.
      EXPECT_LT(difference(gradients[mode][0], gradients[0][0]), type == at::kFloat ? 1e-6 : 1e-2);
      for (size_t i = 1; i < gradients[0].size(); ++i)
        EXPECT_TRUE(at::equal(gradients[mode][i], gradients[0][i])) << mode << " " << i;
    }
  }
}

TEST(LayerTerms, CosineIsOfDirectionsAndABatchWithoutTargetsIsNothing) {
  DistillConfig config = both_terms();
  config.attention_weight = 0;
  config.hidden_loss = "cosine";
  config.layer_map = {"1:1"};
  Pair pair(config);
  const Batch batch = some_batch();
  const double loss = pair.loss(batch).item<double>();
  const at::NoGradGuard no_grad;
  for (Parameter* p : pair.terms.parameters()) p->value.mul_(3);
  EXPECT_NEAR(pair.loss(batch).item<double>(), loss, 1e-12);
  Batch none = batch;
  none.targets = at::full_like(batch.targets, kIgnore);
  none.num_targets = 0;
  const at::AutoGradMode with_graph(true);
  Pair both(both_terms());
  const at::Tensor nothing = both.loss(none);
  EXPECT_EQ(nothing.item<double>(), 0);
  nothing.backward();
  for (Parameter* p : both.parameters()) EXPECT_EQ(p->grad.abs().max().item<double>(), 0);
}

TEST(LayerTerms, PairsAreSpreadEvenlyOrAsTheMapSays) {
  const auto text = [](const std::vector<LayerPair>& pairs) {
    std::string all;
    for (const LayerPair& pair : pairs)
      all += std::to_string(pair.student) + ":" + std::to_string(pair.teacher) + " ";
    return all;
  };
  EXPECT_EQ(text(layer_pairs({}, 4, 12)), "1:3 2:6 3:9 4:12 ");
  EXPECT_EQ(text(layer_pairs({}, 3, 4)), "1:2 2:3 3:4 ");
  EXPECT_EQ(text(layer_pairs({}, 3, 2)), "1:1 2:2 3:2 ");
  EXPECT_EQ(text(layer_pairs({"0:0", "2:7"}, 2, 8)), "0:0 2:7 ");
  const auto fault = [](const std::vector<std::string>& map) {
    try {
      layer_pairs(map, 2, 8);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("no fault");
  };
  EXPECT_THAT(fault({"2-4"}), testing::HasSubstr("\"2-4\" is no pair of layers"));
  EXPECT_THAT(fault({"3:4"}), testing::HasSubstr("the student has 2, the teacher 8"));
  EXPECT_THAT(fault({"1:9"}), testing::HasSubstr("1:9 asks for a layer that is not there"));
}

TEST(LayerTerms, WhatCanNotBeComparedIsRefused) {
  const auto fault = [](DistillConfig config, int64_t heads) {
    const auto student = some_model(16, 2, at::kFloat, 1);
    ModelConfig teacher = student->config();
    teacher.num_attention_heads = heads;
    try {
      LayerTerms(config, *student, teacher, 1);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("no fault");
  };
  DistillConfig config = both_terms();
  config.layer_map = {};
  EXPECT_EQ(fault(config, 4), "no fault");
  EXPECT_THAT(fault(config, 8), testing::HasSubstr("set distill.attention_heads: mean"));
  config.attention_heads = "mean";
  EXPECT_EQ(fault(config, 8), "no fault");
  config.layer_map = {"0:0"};
  EXPECT_THAT(fault(config, 8), testing::HasSubstr("embeddings only"));

  const auto reasons = [](DistillConfig config) {
    std::string all;
    for (const Conflict& conflict : conflicts(config)) all += conflict.reason + "\n";
    return all;
  };
  config = both_terms();
  config.teacher_model_name_or_path = "t";
  EXPECT_EQ(reasons(config), "");
  config.cross_vocabulary = "aligned";
  EXPECT_THAT(reasons(config), testing::HasSubstr("read different tokens"));
  config = both_terms();
  config.teacher_shards = {"rows"};
  EXPECT_THAT(reasons(config), testing::HasSubstr("teacher shards hold no hidden states"));
  config.hidden_weight = config.attention_weight = 0;
  EXPECT_THAT(reasons(config), testing::HasSubstr("is read where hidden_weight"));
}

TEST(LayerTerms, LayersOfDifferentWindowsAreRefused) {
  Pair pair(both_terms());
  const Batch batch = some_batch();
  LayerStates own = pair.terms.student_states(), goal = pair.terms.teacher_states();
  pair.student->hidden(batch, own);
  TeacherModel{pair.teacher.get()}.hidden(batch, &goal);
  goal.attention.at(3).scoring.window = 8;
  EXPECT_THAT([&] { pair.terms(own, goal, batch, false); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(
                  "layer 2 of the student attends to all tokens, layer 3 of the teacher to the "
                  "last 8 tokens")));
}

}  // namespace
}  // namespace lathe

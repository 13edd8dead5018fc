#include "tests/trainer/parity.h"

namespace lathe {
namespace {

const std::vector<std::string> kFixtures{"llama", "llama3", "llama_tied", "llama_linear",
                                         "llama_yarn"};

TEST(Llama, GivesTheReferencesLogitsLossAndGradients) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const auto model = load_fixture(folder_of(fixture), at::kFloat);
    const auto expected = read_tensors(folder_of(fixture) + "/expected.safetensors");
    const std::vector<Document> documents = documents_of(expected);
    const Batch batch = batch_of(documents);
    EXPECT_LT(worst(model->logits(model->hidden(batch)),
                    without_padding(expected.at("logits"), documents)),
              1e-4);
    EXPECT_EQ(batch.num_targets, expected.at("valid_tokens").item<int64_t>());
    EXPECT_NEAR(run_backward(*model, batch) / expected.at("loss").item<double>(), 1, 1e-5);
    expect_gradients(*model, expected, "grad.");
  }
}

TEST(Llama, KeepsPackedDocumentsApart) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int with_gradients = 0;
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const auto model = load_fixture(folder_of(fixture), at::kFloat);
    const auto expected = read_tensors(folder_of(fixture) + "/expected.safetensors");
    const std::vector<int64_t> ids = to_vector(expected.at("packed.input_ids")[0]);
    const std::vector<int64_t> labels = to_vector(expected.at("packed.labels")[0]);
    const Batch batch =
        batch_of({{{ids.begin(), ids.begin() + 11}, {labels.begin(), labels.begin() + 11}},
                  {{ids.begin() + 11, ids.end()}, {labels.begin() + 11, labels.end()}}});
    EXPECT_EQ(to_vector(expected.at("packed.position_ids")[0]), to_vector(batch.positions));
    EXPECT_LT(worst(model->logits(model->hidden(batch)), expected.at("packed.logits")[0]), 1e-4);
    EXPECT_NEAR(run_backward(*model, batch) / expected.at("packed.loss").item<double>(), 1, 1e-5);
    if (expected.count("packed.grad.model.norm.weight") == 0) continue;
    expect_gradients(*model, expected, "packed.grad.");
    ++with_gradients;
  }
  EXPECT_GE(with_gradients, 1);
}

TEST(Llama, GivesTheReferencesHiddenStatesOfEveryLayer) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const auto model = load_fixture(folder_of(fixture), at::kFloat);
    const auto expected = read_tensors(folder_of(fixture) + "/expected.safetensors");
    if (expected.count("hidden.embed") == 0) continue;
    const std::vector<Document> documents = documents_of(expected);
    LayerStates states{.hidden_TH = {{0, {}}, {1, {}}, {2, {}}}, .attention = {}};
    model->hidden(batch_of(documents), states);
    const std::vector<std::string> names{"hidden.embed", "hidden.layer0", "hidden.final_norm"};
    for (size_t i = 0; i < names.size(); ++i) {
      EXPECT_LT(worst(states.hidden_TH[static_cast<int64_t>(i)],
                      without_padding(expected.at(names[i]), documents)),
                1e-4)
          << names[i];
    }
  }
}

TEST(Llama, InBfloat16IsCloseToTheReference) {
  if (!have_shared("fixtures/models/llama_bf16")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto expected = read_tensors(folder_of("llama_bf16") + "/expected.safetensors");
  const std::vector<Document> documents = documents_of(expected);
  const Batch batch = batch_of(documents);
  const auto wide = load_fixture(folder_of("llama_bf16"), at::kFloat);
  EXPECT_LT(
      worst(wide->logits(wide->hidden(batch)), without_padding(expected.at("logits"), documents)),
      1e-4);
  EXPECT_NEAR(run_backward(*wide, batch) / expected.at("loss").item<double>(), 1, 1e-5);
  expect_gradients(*wide, expected, "grad.");

  const auto narrow = load_fixture(folder_of("llama_bf16"), at::kBFloat16);
  const at::Tensor off =
      narrow->logits(narrow->hidden(batch)) - without_padding(expected.at("logits"), documents);
  EXPECT_LT(off.abs().max().item<double>(), 0.2);
  EXPECT_LT(off.abs().mean().item<double>(), 0.03);
  EXPECT_NEAR(run_backward(*narrow, batch) / expected.at("loss").item<double>(), 1, 5e-3);
  for (Parameter* p : narrow->parameters()) {
    EXPECT_LT(difference(p->grad, expected.at("grad." + p->name)), 0.06) << p->name;
  }
}

TEST(Llama, ABatchWithoutTokensHasNoLossAndNoGradient) {
  if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(folder_of("llama"), at::kFloat);
  const LossSum loss = cross_entropy(*model, batch_of({}));
  EXPECT_EQ(loss.sum.item<double>(), 0);
  EXPECT_EQ(loss.count, 0);
  loss.sum.backward();
  for (Parameter* p : model->parameters())
    EXPECT_EQ(p->grad.abs().sum().item<double>(), 0) << p->name;
}

TEST(Llama, DocumentsTogetherEqualDocumentsApart) {
  if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(folder_of("llama"), at::kFloat);
  const Document a{{1, 5, 9, 7, 3}, {1, 5, 9, 7, 3}}, b{{8, 2, 4}, {8, 2, 4}};
  run_backward(*model, batch_of({a, b}));
  std::vector<at::Tensor> together;
  for (Parameter* p : model->parameters()) together.push_back(p->grad.clone());
  for (Parameter* p : model->parameters()) p->grad.zero_();
  double sum = 0;
  for (const Document& d : {a, b}) {
    const LossSum loss = cross_entropy(*model, batch_of({d}));
    (loss.sum / 6.0).backward();
    sum += loss.sum.item<double>();
  }
  EXPECT_NEAR(cross_entropy(*model, batch_of({a, b})).sum.item<double>(), sum, 1e-5 * sum);
  for (size_t i = 0; i < together.size(); ++i) {
    EXPECT_LT(difference(model->parameters()[i]->grad, together[i]), 1e-5);
  }
}

TEST(Llama, GivesTheSameBitsWithOneAndTwoThreads) {
  if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(folder_of("llama"), at::kFloat);
  std::vector<int64_t> ids(300);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i * 37 % 160);
  const Batch batch = batch_of({{ids, ids}});
  at::set_num_threads(1);
  const double one = run_backward(*model, batch);
  std::vector<at::Tensor> gradients;
  for (Parameter* p : model->parameters()) gradients.push_back(p->grad.clone());
  at::set_num_threads(2);
  EXPECT_EQ(run_backward(*model, batch), one);
  for (size_t i = 0; i < gradients.size(); ++i) {
    EXPECT_TRUE(same_bits(model->parameters()[i]->grad, gradients[i]))
        << model->parameters()[i]->name;
  }
}

TEST(Llama, FrozenParametersGetNoGradientAndTheOthersTheSame) {
  if (!have_shared("fixtures/models/llama")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(folder_of("llama"), at::kFloat);
  const Batch batch = batch_of({{{1, 5, 9, 7, 3}, {1, 5, 9, 7, 3}}});
  run_backward(*model, batch);
  std::vector<at::Tensor> all;
  for (Parameter* p : model->parameters()) all.push_back(p->grad.clone());
  for (Parameter* p : model->parameters()) {
    p->trained = p->name.find("layers.1") != std::string::npos;
    p->value.set_requires_grad(p->trained);
  }
  run_backward(*model, batch);
  for (size_t i = 0; i < all.size(); ++i) {
    const Parameter& p = *model->parameters()[i];
    EXPECT_TRUE(same_bits(p.grad, p.trained ? all[i] : at::zeros_like(all[i]))) << p.name;
  }
}

TEST(MakeModel, NamesTheFamiliesThereAre) {
  ModelConfig config;
  config.model_type = "lama";
  try {
    make_model(config, at::kFloat, at::kCPU);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("\"lama\""), testing::HasSubstr("llama")));
  }
}

}  // namespace
}  // namespace lathe

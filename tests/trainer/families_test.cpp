#include <filesystem>

#include "tests/trainer/parity.h"
#include "trainer/hf_folder.h"

// Every family beside Llama against the reference, and the equalities that hold for all of them.
namespace lathe {
namespace {

const std::vector<std::string> kFixtures{"qwen2",  "qwen2_yarn",  "qwen3", "mistral", "phi3",
                                         "gemma2", "gemma3_text", "gpt2",  "mixtral", "qwen3_moe"};

// Calls test(model, expected) for every fixture.
template <typename Test>
void for_each_fixture(const Test& test) {
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const auto model = load_fixture(folder_of(fixture), at::kFloat);
    const int threads = at::get_num_threads();
    at::set_num_threads(1);  // on models so small a second one only waits
    test(*model, read_tensors(folder_of(fixture) + "/expected.safetensors"));
    at::set_num_threads(threads);
  }
}

Document numbers(int64_t count, int64_t first = 0) {
  Document d;
  for (int64_t i = first; i < first + count; ++i) d.ids.push_back((i * i + 37 * i) % 160);
  d.labels = d.ids;
  return d;
}

std::vector<at::Tensor> gradients(Model& model) {
  std::vector<at::Tensor> all;
  for (Parameter* p : model.parameters()) all.push_back(p->grad.clone());
  return all;
}

TEST(Families, GiveTheReferencesLogitsLossAndGradients) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for_each_fixture([](Model& model, const auto& expected) {
    const std::vector<Document> documents = documents_of(expected);
    const Batch batch = batch_of(documents);
    EXPECT_LT(
        worst(model.logits(model.hidden(batch)), without_padding(expected.at("logits"), documents)),
        1e-4);
    EXPECT_EQ(batch.num_targets, expected.at("valid_tokens").template item<int64_t>());
    EXPECT_NEAR(run_backward(model, batch) / expected.at("loss").template item<double>(), 1, 1e-5);
    expect_gradients(model, expected, "grad.");
  });
}

TEST(Families, KeepPackedDocumentsApart) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int packed = 0;
  for_each_fixture([&](Model& model, const auto& expected) {
    if (expected.count("packed.input_ids") == 0) return;
    const std::vector<int64_t> ids = to_vector(expected.at("packed.input_ids")[0]);
    const std::vector<int64_t> labels = to_vector(expected.at("packed.labels")[0]);
    const Batch batch =
        batch_of({{{ids.begin(), ids.begin() + 11}, {labels.begin(), labels.begin() + 11}},
                  {{ids.begin() + 11, ids.end()}, {labels.begin() + 11, labels.end()}}});
    EXPECT_LT(worst(model.logits(model.hidden(batch)), expected.at("packed.logits")[0]), 1e-4);
    EXPECT_NEAR(run_backward(model, batch) / expected.at("packed.loss").template item<double>(), 1,
                1e-5);
    ++packed;
    if (expected.count("packed.grad." + model.parameters()[0]->name) != 0) {
      expect_gradients(model, expected, "packed.grad.");
    }
  });
  EXPECT_GE(packed, 3);
}

TEST(Families, GiveTheReferencesHiddenStatesOfEveryLayer) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for_each_fixture([&](Model& model, const auto& expected) {
    if (expected.count("hidden.embed") == 0) return;
    const std::vector<Document> documents = documents_of(expected);
    const int64_t last = model.config().num_hidden_layers;
    LayerStates states;
    for (int64_t i = 0; i <= last; ++i) states.hidden_TH[i] = at::Tensor();
    const at::Tensor hidden_TH = model.hidden(batch_of(documents), states);
    EXPECT_TRUE(at::equal(hidden_TH, states.hidden_TH[last]));
    for (const auto& [i, state_TH] : states.hidden_TH) {
      const std::string name = i == 0      ? "hidden.embed"
                               : i == last ? "hidden.final_norm"
                                           : "hidden.layer" + std::to_string(i - 1);
      EXPECT_LT(difference(state_TH, without_padding(expected.at(name), documents)), 1e-5) << name;
    }
    ++compared;
  });
  EXPECT_EQ(compared, static_cast<int>(kFixtures.size()));
}

// In pieces of one, many and a whole prompt; beyond every window of the fixtures.
TEST(Families, WithACacheEqualWithoutIt) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for_each_fixture([](Model& model, const auto&) {
    const at::NoGradGuard no_grad;
    const Document a = numbers(40), b = numbers(23);
    const at::Tensor whole = model.logits(model.hidden(batch_of({a})));
    for (const std::vector<int64_t>& pieces :
         {std::vector<int64_t>{13, 1, 1, 9, 1, 15}, {1, 1, 1, 37}, {40}}) {
      KvCache cache = model.make_cache(48);
      KvCache* caches[] = {&cache};
      std::vector<at::Tensor> parts;
      for (auto at = a.ids.begin(); const int64_t piece : pieces) {
        parts.push_back(model.hidden(batch_of({{{at, at + piece}, {}}}), caches));
        at += piece;
      }
      EXPECT_LT(difference(model.logits(at::cat(parts)), whole), 1e-5);
    }
    // Two sequences of different lengths go on together.
    KvCache first = model.make_cache(48), second = model.make_cache(48);
    KvCache* caches[] = {&first, &second};
    const auto piece = [](const Document& d, int64_t from, int64_t to) {
      return Document{{d.ids.begin() + from, d.ids.begin() + to}, {}};
    };
    model.hidden(batch_of({piece(a, 0, 39), piece(b, 0, 22)}), caches);
    const at::Tensor last =
        model.logits(model.hidden(batch_of({piece(a, 39, 40), piece(b, 22, 23)}), caches));
    EXPECT_LT(difference(last[0], whole[39]), 1e-5);
    EXPECT_LT(difference(last[1], model.logits(model.hidden(batch_of({b})))[22]), 1e-5);
  });
}

TEST(Families, ABatchWithoutTokensHasNoLossAndNoGradient) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for_each_fixture([](Model& model, const auto&) {
    const LossSum loss = cross_entropy(model, batch_of({}));
    EXPECT_EQ(loss.sum.template item<double>(), 0);
    loss.sum.backward();
    for (Parameter* p : model.parameters())
      EXPECT_EQ(p->grad.abs().sum().template item<double>(), 0) << p->name;
  });
}

TEST(Families, GiveTheSameBitsWithOneAndTwoThreads) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for_each_fixture([](Model& model, const auto&) {
    const Batch batch = batch_of(
        {numbers(60), numbers(std::min<int64_t>(150, model.config().max_position_embeddings)),
         numbers(3), numbers(50)});
    at::set_num_threads(1);
    const double one = run_backward(model, batch);
    const std::vector<at::Tensor> expected = gradients(model);
    at::set_num_threads(2);
    EXPECT_EQ(run_backward(model, batch), one);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(same_bits(model.parameters()[i]->grad, expected[i]))
          << model.parameters()[i]->name;
    }
  });
}

TEST(Families, InBfloat16AreCloseToFloat32) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    // Tokens for which no router hesitates: its logits are 0.02 off in bfloat16 in the reference as
    // well, and here no third expert is nearer than 0.039.
    const Batch batch = batch_of({numbers(30, 15), numbers(9, 15)});
    const auto wide = load_fixture(folder_of(fixture), at::kFloat);
    const auto narrow = load_fixture(folder_of(fixture), at::kBFloat16);
    EXPECT_NEAR(run_backward(*narrow, batch) / run_backward(*wide, batch), 1, 2e-2);
    const std::vector<at::Tensor> expected = gradients(*wide);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(difference(narrow->parameters()[i]->grad, expected[i]), 0.15)
          << narrow->parameters()[i]->name;
    }
  }
}

TEST(Families, AreTheSameAfterExportAndImport) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string folder = testing::TempDir() + "families_export";
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const auto model = load_model(folder_of(fixture), at::kFloat, at::kCPU);
    std::filesystem::remove_all(folder);
    save_model(*model, folder, "", at::kFloat, 50000);
    const auto again = load_model(folder, at::kFloat, at::kCPU);
    ASSERT_EQ(again->parameters().size(), model->parameters().size());
    for (size_t i = 0; i < model->parameters().size(); ++i) {
      EXPECT_EQ(again->parameters()[i]->name, model->parameters()[i]->name);
      EXPECT_TRUE(same_bits(again->parameters()[i]->value, model->parameters()[i]->value));
    }
    ModelConfig before = model->config(), after = again->config();
    before.source = after.source = "";
    EXPECT_EQ(before, after);
    ModelConfig bare = parse_model_config(dump_model_config(before), "bare");
    bare.source = "";
    EXPECT_EQ(bare, before) << "from the fields alone";
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lathe

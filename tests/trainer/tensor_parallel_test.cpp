#include <gmock/gmock.h>

#include "parallel/sharding.h"
#include "tests/spawn.h"
#include "tests/trainer/parity.h"
#include "trainer/hf_folder.h"

// Models that are cut over ranks, against the same model on one rank.
namespace lathe {
namespace {

const std::vector<std::string> kFixtures{"llama",   "llama_tied", "qwen2",    "qwen3",
                                         "mistral", "phi3",       "gemma2",   "gemma3_text",
                                         "gpt2",    "mixtral",    "qwen3_moe"};

struct Pass {
  double loss = 0;
  at::Tensor logits;
  std::map<std::string, at::Tensor> gradients;
};

// Of the mean loss; gradients whole.
Pass pass_through(Model& model, const Batch& batch, Mesh& mesh, const Objective& objective) {
  const auto sharding = make_sharding(0, model.parameters(), mesh);
  Pass pass;
  const LossSum loss = objective(model, batch);
  (loss.sum / static_cast<double>(loss.count)).backward();
  pass.loss = loss.sum.item<double>();
  sharding->reduce_gradients();
  for (const Parameter* p : model.parameters())
    pass.gradients[p->name] = whole_of(p->grad, p->cut, mesh.tp()).clone();
  const at::NoGradGuard no_grad;
  pass.logits = model.logits(model.hidden(batch));
  return pass;
}

void expect_close(const Pass& got, const Pass& expected) {
  EXPECT_NEAR(got.loss / expected.loss, 1, 1e-6);
  EXPECT_LT((got.logits - expected.logits).abs().max().item<double>(), 2e-5);
  ASSERT_EQ(got.gradients.size(), expected.gradients.size());
  for (const auto& [name, gradient] : expected.gradients)
    EXPECT_LT(difference(got.gradients.at(name), gradient), 2e-5) << name;
}

// Documents of 7 to 19 tokens: no multiple of the ranks.
Batch some_batch(int64_t vocabulary) {
  std::vector<Document> documents;
  for (const int64_t length : {19, 7, 1, 10}) {
    Document d;
    for (int64_t i = 0; i < length; ++i) d.ids.push_back((i * i + 37 * i + length) % vocabulary);
    d.labels = d.ids;
    documents.push_back(d);
  }
  return batch_of(documents);
}

using MakeModel = std::function<std::unique_ptr<Model>(const TensorParallel&)>;

void expect_cut_as_whole(const MakeModel& make, const std::vector<int>& ranks,
                         const Objective& objective = cross_entropy) {
  Pass expected;
  const auto whole = make({});
  const Batch batch = some_batch(std::min<int64_t>(whole->config().vocab_size, 160));
  spawn_mesh(1, {}, [&](Mesh& mesh) { expected = pass_through(*whole, batch, mesh, objective); });
  for (const int tp : ranks) {
    for (const bool sequence : {false, true}) {
      SCOPED_TRACE(testing::Message() << "tp " << tp << (sequence ? ", tokens shared" : ""));
      spawn_mesh(tp, {.dp = 1, .tp = tp}, [&](Mesh& mesh) {
        const auto model = make(TensorParallel(mesh.tp(), sequence));
        const Pass pass = pass_through(*model, batch, mesh, objective);
        if (mesh.tp().rank() == tp - 1) expect_close(pass, expected);
      });
    }
  }
}

std::vector<int> fitting(const ModelConfig& config) {
  std::vector<int> ranks;
  for (const int tp : {2, 4}) {
    const int64_t Q = config.num_attention_heads, K = config.num_key_value_heads;
    if (Q % tp == 0 && (K % tp == 0 || tp % K == 0)) ranks.push_back(tp);
  }
  return ranks;
}

TEST(TensorParallel, OfEveryFamilyEqualsOneRank) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const std::string& fixture : kFixtures) {
    SCOPED_TRACE(fixture);
    const std::string folder = folder_of(fixture);
    const std::vector<int> ranks = fitting(read_model_config(folder));
    expect_cut_as_whole(
        [&](const TensorParallel& tp) { return load_model(folder, at::kFloat, at::kCPU, tp); },
        ranks);
    compared += static_cast<int>(ranks.size());
  }
  EXPECT_GE(compared, static_cast<int>(kFixtures.size()));
}

MakeModel random_model(const std::string& model_type, const std::string& more) {
  const ModelConfig config = parse_model_config(
      R"({"vocab_size": 43, "hidden_size": 16, "intermediate_size": 23, "num_attention_heads": 4,
          "num_hidden_layers": 2, "initializer_range": 0.3, "model_type": ")" +
          model_type + "\"" + more + "}",
      model_type);
  return [config](const TensorParallel& tp) {
    std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU, tp);
    initialize(*model, 3);
    const at::NoGradGuard no_grad;
    for (Parameter* p : model->parameters()) {
      if (p->whole_shape().size() > 1) continue;
      const at::Tensor noise = 0.2 * random_tensor(p->whole_shape(), at::kFloat, 7);
      p->value.add_(part_of(noise, p->cut));
    }
    return model;
  };
}

TEST(TensorParallel, OfNormsOverAllHeadsEqualsOneRank) {
  for (const char* heads : {R"(, "num_key_value_heads": 4)", R"(, "num_key_value_heads": 2)",
                            R"(, "num_key_value_heads": 1)"}) {
    SCOPED_TRACE(heads);
    expect_cut_as_whole(random_model("olmo2", heads), {2, 4});
  }
}

TEST(TensorParallel, OfBiasesEverywhereEqualsOneRank) {
  expect_cut_as_whole(random_model("llama", R"(, "num_key_value_heads": 2, "attention_bias": true,
      "mlp_bias": true)"),
                      {2, 4});
  expect_cut_as_whole(random_model("phi3", R"(, "num_key_value_heads": 2, "pad_token_id": 0)"),
                      {2, 4});
}

TEST(TensorParallel, OfExpertsWithABalanceLossEqualsOneRank) {
  expect_cut_as_whole(random_model("mixtral", R"(, "num_key_value_heads": 2,
      "num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": true,
      "router_aux_loss_coef": 0.1)"),
                      {2, 4});
}

TEST(TensorParallel, OfALossOverTheWholeVocabularyEqualsOneRank) {
  expect_cut_as_whole(random_model("gemma2", R"(, "num_key_value_heads": 2, "head_dim": 4)"),
                      {2, 4}, token_loss({.label_smoothing_factor = 0.1, .z_loss = 1e-2}));
}

TEST(TensorParallel, WithRecomputationEqualsOneRank) {
  const MakeModel make = random_model("qwen3", R"(, "num_key_value_heads": 2, "head_dim": 4)");
  expect_cut_as_whole(
      [&](const TensorParallel& tp) {
        auto model = make(tp);
        model->set_checkpointing(Checkpointing::kSelective);
        return model;
      },
      {2, 4});
}

TEST(TensorParallel, WithACacheEqualsOneRank) {
  const MakeModel make = random_model("gemma2", R"(, "num_key_value_heads": 2, "head_dim": 4)");
  const Batch batch = some_batch(43);
  const auto run = [&](const TensorParallel& tp) {
    const at::NoGradGuard no_grad;
    const auto model = make(tp);
    KvCache cache = model->make_cache(32);
    KvCache* caches[] = {&cache};
    at::Tensor last;
    for (const std::vector<int64_t>& ids : {std::vector<int64_t>{5, 9, 21, 40, 2}, {17}, {3}, {42}})
      last = model->logits(model->hidden(batch_of({{ids, {}}}), caches));
    return last;
  };
  const at::Tensor expected = run({});
  for (const int tp : {2, 4}) {
    spawn_mesh(tp, {.dp = 1, .tp = tp}, [&](Mesh& mesh) {
      const at::Tensor got = run(TensorParallel(mesh.tp(), true));
      EXPECT_EQ(got.sizes(), expected.sizes());
      EXPECT_LT((got - expected).abs().max().item<double>(), 1e-5);
    });
  }
}

TEST(TensorParallel, SaysHowManyRanksCanShareTheHeads) {
  const auto error_of = [](int tp, const std::string& heads) -> std::string {
    try {
      spawn_mesh(tp, {.dp = 1, .tp = tp}, [&](Mesh& mesh) {
        random_model("llama", heads)(TensorParallel(mesh.tp(), true));
      });
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(
      error_of(3, R"(, "num_key_value_heads": 2)"),
      "parallel.tp is 3 but the model has 4 query heads and 2 key/value heads; tp must divide "
      "the former, and divide the latter or be a multiple of them; the nearest that fits is "
      "tp=2");
  EXPECT_EQ(error_of(4, R"(, "num_key_value_heads": 2)"), "");
  EXPECT_THAT(error_of(8, R"(, "num_key_value_heads": 4)"), testing::HasSubstr("tp=4"));
}

}  // namespace
}  // namespace lathe

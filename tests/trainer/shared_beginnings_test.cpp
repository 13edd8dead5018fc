#include "trainer/models/shared_beginnings.h"

#include "parallel/sharding.h"
#include "tests/spawn.h"
#include "tests/trainer/parity.h"
#include "trainer/objective/preference.h"
#include "trainer/objective/reward.h"
#include "trainer/scored_model.h"
#include "trainer/step_noise.h"

// Pairs that hold their prompt once, against the same pairs laid whole.
namespace lathe {
namespace {

using Ids = std::vector<int64_t>;

struct Written {
  Ids ids;
  std::vector<uint8_t> trained;
  DocumentView view(int64_t shared = 0) const {
    return {ids.data(), trained.data(), std::ssize(ids), shared};
  }
};

Written written(const Ids& prompt, const Ids& answer, int64_t most = 100) {
  Written w{prompt, std::vector<uint8_t>(prompt.size(), 0)};
  w.ids.insert(w.ids.end(), answer.begin(), answer.end());
  w.trained.resize(w.ids.size(), 1);
  w.ids.resize(std::min(most, std::ssize(w.ids)));
  w.trained.resize(w.ids.size());
  return w;
}

// Prompt and answers of each pair, and how much of the beginning it can share.
struct Case {
  Written chosen, rejected;
  int64_t shared;
};

std::vector<Case> cases() {
  const Ids prompt{3, 14, 15, 9, 26, 5, 35, 8, 9}, one{7, 9, 31}, other{2, 20, 30, 4};
  return {{written(prompt, one), written(prompt, other), 8},
          {written({1, 2, 3}, one), written({4, 2, 3}, other), 0},         // nothing in common
          {written(prompt, one), written(prompt, one), 8},                 // the same answer
          {written(prompt, {6, 7, 8, 9}), written(prompt, {6, 7, 1}), 8},  // answers begin alike
          {written(prompt, one, 10), written(prompt, other, 6), 5},        // no answer is left
          {written(prompt, one, 4), written(prompt, other), 4},            // here of the chosen one
          {written(prompt, {6, 7, 8, 9}), written(prompt, {6, 7}), 8},
          {written({11}, one), written({11}, other), 0},  // its last token is the first
          {written({3, 14, 15, 9, 1, 2, 4}, one), written({3, 14, 15, 9, 21, 2}, other), 4}};
}

Batch pairs_of(const std::vector<Case>& cases, bool shares) {
  std::vector<DocumentView> documents;
  for (const Case& c : cases) {
    const int64_t shared = shared_beginning(c.chosen.view(), c.rejected.view());
    EXPECT_EQ(shared, c.shared);
    documents.push_back(c.chosen.view());
    documents.push_back(c.rejected.view(shares ? shared : 0));
  }
  return make_batch(documents);
}

using MakeModel = std::function<std::unique_ptr<Model>(const TensorParallel&)>;

MakeModel random_model(const std::string& model_type, const std::string& more = "") {
  const ModelConfig config = parse_model_config(
      R"({"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4,
          "num_key_value_heads": 2, "num_hidden_layers": 2, "head_dim": 4,
          "initializer_range": 0.3, "model_type": ")" +
          model_type + "\"" + more + "}",
      model_type);
  return [config](const TensorParallel& tp) {
    std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU, tp);
    initialize(*model, 3);
    return model;
  };
}

const std::map<std::string, MakeModel>& models() {
  static const std::map<std::string, MakeModel> all{
      {"llama", random_model("llama")},
      {"gemma2", random_model("gemma2", R"(, "sliding_window": 5, "attn_logit_softcapping": 5.0,
          "final_logit_softcapping": 8.0, "query_pre_attn_scalar": 4)")},
      {"qwen3", random_model("qwen3")},
      {"gpt2",
       random_model("gpt2", R"(, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64)")},
      {"mixtral", random_model("mixtral", R"(, "num_local_experts": 4, "num_experts_per_tok": 2)")},
      {"balanced", random_model("mixtral", R"(, "num_local_experts": 4, "num_experts_per_tok": 2,
          "output_router_logits": true, "router_aux_loss_coef": 0.5)")},
      // Turned otherwise from 12 tokens on, each length by a base of its own.
      {"dynamic", random_model("llama", R"(, "max_position_embeddings": 11,
          "rope_scaling": {"rope_type": "dynamic", "factor": 4.0})")}};
  return all;
}

struct Pass {
  at::Tensor values;
  std::map<std::string, at::Tensor> gradients;
};

// Of the sum of what `terms` says, and that.
Pass pass_through(Model& model, Mesh& mesh, const std::function<at::Tensor(Model&)>& terms) {
  const auto sharding = make_sharding(0, model.parameters(), mesh);
  const at::Tensor values = terms(model);
  values.sum().backward();
  sharding->reduce_gradients();
  Pass pass{values.detach(), {}};
  for (const Parameter* p : model.parameters())
    pass.gradients[p->name] = whole_of(p->grad, p->cut, mesh.tp()).clone();
  return pass;
}

void expect_close(const Pass& got, const Pass& expected) {
  EXPECT_LT(difference(got.values, expected.values), 1e-5);
  ASSERT_EQ(got.gradients.size(), expected.gradients.size());
  for (const auto& [name, gradient] : expected.gradients)
    EXPECT_LT(difference(got.gradients.at(name), gradient), 1e-5) << name;
}

// Log-probabilities, each with a weight of its own.
std::function<at::Tensor(Model&)> log_probs_of(const Batch& batch) {
  return [&batch](Model& model) {
    const SequenceLogProbs policy = sequence_log_probs(model, batch);
    const at::Tensor weights_D = 1 + 0.3 * at::arange(policy.sums_D.numel(), at::kDouble);
    const at::Tensor balance = model.take_auxiliary_loss();
    const at::Tensor values_D = policy.sums_D * weights_D;
    return balance.defined() ? at::cat({values_D, balance.view({1})}) : values_D;
  };
}

TEST(SharedBeginnings, GiveEveryFamilyTheSameLogProbsAndGradients) {
  const Batch whole = pairs_of(cases(), false), shared = pairs_of(cases(), true);
  ASSERT_TRUE(whole.shared.empty());
  EXPECT_EQ(whole.num_tokens() - shared.num_tokens(), 8 + 0 + 8 + 8 + 5 + 4 + 8 + 0 + 4);
  EXPECT_EQ(whole.num_targets, shared.num_targets);
  for (const auto& [name, make] : models()) {
    SCOPED_TRACE(name);
    const auto model = make({});
    spawn_mesh(1, {}, [&](Mesh& mesh) {
      const Pass expected = pass_through(*model, mesh, log_probs_of(whole));
      expect_close(pass_through(*model, mesh, log_probs_of(shared)), expected);
    });
  }
}

TEST(SharedBeginnings, GiveRanksThatShareAModelWhatOneHas) {
  const Batch whole = pairs_of(cases(), false), shared = pairs_of(cases(), true);
  for (const char* name : {"llama", "gemma2"}) {
    const MakeModel& make = models().at(name);
    Pass expected;
    const auto model = make({});
    spawn_mesh(1, {},
               [&](Mesh& mesh) { expected = pass_through(*model, mesh, log_probs_of(whole)); });
    for (const bool sequence : {false, true}) {
      SCOPED_TRACE(std::string(name) + (sequence ? ", tokens shared" : ""));
      spawn_mesh(2, {.dp = 1, .tp = 2}, [&](Mesh& mesh) {
        const auto part = make(TensorParallel(mesh.tp(), sequence));
        const Pass pass = pass_through(*part, mesh, log_probs_of(shared));
        if (mesh.tp().rank() == 1) expect_close(pass, expected);
      });
    }
  }
}

TEST(SharedBeginnings, GiveTheSamePreferenceLossAndMetrics) {
  const std::vector<Case> all = cases();
  const std::vector<Case> some{all[0], all[2], all[3], all[6]};
  const auto model = models().at("llama")({});
  std::vector<Pass> passes;
  std::vector<MetricRow> rows;
  for (const bool shares : {false, true}) {
    Batch batch = pairs_of(some, shares);
    batch.num_targets = std::ssize(some);
    batch.preferences.chosen_tokens = 3;
    batch.preferences.reference_D = -5 - at::arange(2 * std::ssize(some), at::kDouble);
    PreferenceConfig config;
    config.loss_type = {"sigmoid", "sft"};
    config.ld_alpha = 0.5;
    config.use_weighting = true;
    PreferenceLoss loss(config);
    spawn_mesh(1, {}, [&](Mesh& mesh) {
      passes.push_back(pass_through(*model, mesh, [&](Model& m) { return loss(m, batch).sum; }));
      rows.push_back(loss.take_metrics(mesh.dp(), false));
    });
  }
  expect_close(passes[1], passes[0]);
  ASSERT_EQ(rows[0].size(), rows[1].size());
  for (size_t i = 0; i < rows[0].size(); ++i)
    EXPECT_NEAR(rows[1][i].second, rows[0][i].second, 1e-4) << rows[0][i].first;
}

TEST(SharedBeginnings, GiveTheSameRewards) {
  ModelConfig config = models().at("llama")({})->config();
  config.tie_word_embeddings = true;
  ScoredModel model(make_model(config, at::kFloat, at::kCPU), config, 5);
  initialize(model, 3);
  std::vector<Pass> passes;
  for (const bool shares : {false, true}) {
    const Batch batch = pairs_of(cases(), shares);
    spawn_mesh(1, {}, [&](Mesh& mesh) {
      RewardLoss loss({}, model);
      passes.push_back(pass_through(model, mesh, [&](Model&) { return loss(batch).sum; }));
    });
  }
  expect_close(passes[1], passes[0]);
}

TEST(SharedBeginnings, ManyMayGoOnBehindOneDocument) {
  const Ids prompt{3, 14, 15, 9, 26, 5};
  const Written first = written(prompt, {7, 9}), second = written(prompt, {1, 2, 3}),
                third = written(prompt, {7, 1}), apart = written({5, 6, 7}, {8});
  const auto laid = [&](bool shares) {
    const auto next = [&](const Written& w) {
      return w.view(shares ? shared_beginning(first.view(), w.view()) : 0);
    };
    return make_batch({first.view(), next(second), next(third), apart.view()});
  };
  const Batch whole = laid(false), shared = laid(true);
  EXPECT_EQ(shared.shared, (Ids{0, 5, 5, 0}));
  EXPECT_EQ(whole.num_tokens() - shared.num_tokens(), 10);
  const auto model = models().at("gemma2")({});
  spawn_mesh(1, {}, [&](Mesh& mesh) {
    const Pass expected = pass_through(*model, mesh, log_probs_of(whole));
    expect_close(pass_through(*model, mesh, log_probs_of(shared)), expected);
  });
}

TEST(SharedBeginnings, AreLaidWholeAgain) {
  const Batch whole = pairs_of(cases(), false), again = whole_documents(pairs_of(cases(), true));
  EXPECT_TRUE(at::equal(again.tokens, whole.tokens));
  EXPECT_TRUE(at::equal(again.positions, whole.positions));
  EXPECT_EQ(again.cu_seqlens, whole.cu_seqlens);
  EXPECT_TRUE(again.shared.empty());
}

TEST(SharedBeginnings, GoWithRecomputationToTheBit) {
  const Batch batch = pairs_of(cases(), true);
  const auto model = models().at("gemma2")({});
  spawn_mesh(1, {}, [&](Mesh& mesh) {
    const Pass kept = pass_through(*model, mesh, log_probs_of(batch));
    for (const Checkpointing mode : {Checkpointing::kBlock, Checkpointing::kSelective}) {
      model->set_checkpointing(mode);
      const Pass made = pass_through(*model, mesh, log_probs_of(batch));
      EXPECT_TRUE(same_bits(made.values, kept.values));
      for (const auto& [name, gradient] : kept.gradients)
        EXPECT_TRUE(same_bits(made.gradients.at(name), gradient)) << name;
    }
  });
}

TEST(SharedBeginnings, NoiseOfWhatGoesOnIsThatOfTheDocument) {
  const StepNoise noise{.seed = 1, .step = 2, .neftune_alpha = 5};
  const Batch whole = pairs_of(cases(), false), shared = pairs_of(cases(), true);
  const at::Tensor expected = take_own(token_keys(whole, noise), shared.cu_seqlens, shared.shared);
  EXPECT_TRUE(at::equal(token_keys(shared, noise), expected));
  // Documents that are equal have the same noise, their beginnings too.
  const std::vector<Case> same{cases()[2]};
  const auto model = models().at("llama")({});
  model->set_noise(noise);
  const at::NoGradGuard no_grad;
  EXPECT_LT(difference(sequence_log_probs(*model, pairs_of(same, true)).sums_D,
                       sequence_log_probs(*model, pairs_of(same, false)).sums_D),
            1e-5);
}

TEST(SharedBeginnings, AreRefusedWhereTheyAreNotKnown) {
  const Batch batch = pairs_of(cases(), true);
  const auto model = models().at("llama")({});
  LayerStates states;
  EXPECT_THROW(model->hidden(batch, states), std::logic_error);
  std::vector<KvCache> caches(2 * cases().size());
  for (KvCache& cache : caches) cache = model->make_cache(32);
  std::vector<KvCache*> places;
  for (KvCache& cache : caches) places.push_back(&cache);
  EXPECT_THROW(model->hidden(batch, places), std::logic_error);
}

}  // namespace
}  // namespace lathe

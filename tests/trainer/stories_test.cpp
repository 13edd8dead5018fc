#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/trainer/parity.h"

// The real pretrained stories260K model.
namespace lathe {
namespace {

const char* const kModel = "data/models/stories260K-hf";

struct Case {
  std::vector<int64_t> prompt, greedy;
};

std::vector<Case> read_cases() {
  std::ifstream file(shared_path("fixtures/stories/greedy.json"));
  std::vector<Case> cases;
  const auto json = nlohmann::json::parse(file);
  for (const auto& c : json.at("cases")) {
    cases.push_back({c.at("prompt_ids"), c.at("greedy_ids")});
  }
  return cases;
}

at::Tensor last_of_each(const at::Tensor& x_TH, const std::vector<int64_t>& cu_seqlens) {
  const at::Tensor ends =
      at::tensor(std::vector<int64_t>(cu_seqlens.begin() + 1, cu_seqlens.end())) - 1;
  return x_TH.index_select(0, ends);
}

// Greedy decoding of all prompts together, a KV cache each. logits[step] is [prompts, V].
std::vector<std::vector<int64_t>> decode(Model& model, const std::vector<Case>& cases,
                                         int64_t num_new, std::vector<at::Tensor>& logits) {
  std::vector<KvCache> memory;
  std::vector<KvCache*> caches;
  std::vector<Document> next;
  for (const Case& c : cases) {
    memory.push_back(model.make_cache(static_cast<int64_t>(c.prompt.size()) + num_new));
    next.push_back({c.prompt, {}});
  }
  for (KvCache& cache : memory) caches.push_back(&cache);
  std::vector<std::vector<int64_t>> out(cases.size());
  for (int64_t step = 0; step < num_new; ++step) {
    const Batch batch = batch_of(next);
    logits.push_back(model.logits(last_of_each(model.hidden(batch, caches), batch.cu_seqlens)));
    const std::vector<int64_t> best = to_vector(logits.back().argmax(1));
    for (size_t i = 0; i < cases.size(); ++i) {
      out[i].push_back(best[i]);
      next[i].ids = {best[i]};
    }
  }
  return out;
}

TEST(Stories, GreedyTokensEqualTheReferences) {
  if (!have_shared(kModel)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(shared_path(kModel), at::kFloat);
  const std::vector<Case> cases = read_cases();
  ASSERT_EQ(cases.size(), 5u);
  std::vector<at::Tensor> logits;
  const auto got = decode(*model, cases, 200, logits);
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(got[i], cases[i].greedy) << i;
}

TEST(Stories, WithACacheEqualsWithout) {
  if (!have_shared(kModel)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(shared_path(kModel), at::kFloat);
  const std::vector<Case> cases = read_cases();
  std::vector<at::Tensor> logits;
  const auto got = decode(*model, cases, 40, logits);
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<int64_t> ids = cases[i].prompt;
    ids.insert(ids.end(), got[i].begin(), got[i].end());
    const Batch whole = batch_of({{ids, {}}});
    const at::NoGradGuard no_grad;
    const at::Tensor expected = model->logits(model->hidden(whole));
    for (int64_t step = 0; step < 40; ++step) {
      const auto position = static_cast<int64_t>(cases[i].prompt.size()) + step - 1;
      EXPECT_LT(worst(logits[step][static_cast<int64_t>(i)], expected[position]), 1e-4);
    }
  }
}

TEST(Stories, APromptInPiecesEqualsThePromptAtOnce) {
  if (!have_shared(kModel)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(shared_path(kModel), at::kFloat);
  const std::vector<int64_t> ids = read_cases()[1].greedy;
  KvCache cache = model->make_cache(200);
  std::vector<KvCache*> caches{&cache};
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 70}, {70, 70}, {70, 71}, {71, 200}}) {
    parts.push_back(
        model->hidden(batch_of({{{ids.begin() + begin, ids.begin() + end}, {}}}), caches));
  }
  EXPECT_EQ(cache.length, 200);
  EXPECT_LT(difference(at::cat(parts, 0), model->hidden(batch_of({{ids, {}}}))), 1e-5);
  EXPECT_THROW(model->hidden(batch_of({{{5}, {}}}), caches), std::invalid_argument);
}

TEST(Stories, GivesTheReferencesLossAndGradients) {
  if (!have_shared(kModel)) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const auto model = load_fixture(shared_path(kModel), at::kFloat);
  const auto expected = read_tensors(shared_path("fixtures/stories/expected.safetensors"));
  const std::vector<Document> documents = documents_of(expected);
  const Batch batch = batch_of(documents);
  EXPECT_LT(
      worst(model->logits(model->hidden(batch)), without_padding(expected.at("logits"), documents)),
      1e-4);
  EXPECT_NEAR(run_backward(*model, batch) / expected.at("loss").item<double>(), 1, 1e-5);
  int compared = 0;
  for (Parameter* p : model->parameters()) {
    if (expected.count("grad." + p->name) == 0) continue;
    EXPECT_LT(difference(p->grad, expected.at("grad." + p->name)), 1e-4) << p->name;
    ++compared;
  }
  EXPECT_EQ(compared, 11);
}

}  // namespace
}  // namespace lathe

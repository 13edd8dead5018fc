#include "trainer/generate/generate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/one_thread.h"
#include "tests/shared.h"
#include "trainer/hf_folder.h"
#include "trainer/json_fields.h"

namespace lathe {
namespace {

using Finish = GenerateResult::Finish;
using testing::HasSubstr;

class Generate : public OneThread {};

// Random weights, large enough that the distribution is far from flat.
std::unique_ptr<Model> tiny_model(int64_t max_positions = 64) {
  ModelConfig config = parse_model_config(
      R"({"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4})",
      "tiny");
  config.max_position_embeddings = max_positions;
  std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU);
  initialize(*model, 3);
  return model;
}

// Prompts of 1 to 9 tokens; every kind of option.
std::vector<GenerateRequest> mixed_requests(size_t count) {
  std::vector<GenerateRequest> requests(count);
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j <= (i * 5) % 9; ++j)
      requests[i].prompt.push_back(static_cast<int64_t>((i * 7 + j * 11) % 40));
    SamplingOptions& o = requests[i].options;
    o.max_new_tokens = static_cast<int64_t>(3 + (i * 3) % 14);
    o.seed = i;
    o.stop_ids = {5};
    o.temperature = i % 3 == 0 ? 0 : 0.8;
    o.top_k = i % 3 == 1 ? 12 : 0;
    o.top_p = i % 2 == 0 ? 0.9 : 1;
    o.repetition_penalty = i % 4 == 3 ? 1.2 : 1;
  }
  return requests;
}

TEST_F(Generate, GivesEachRequestWhatItGetsAlone) {
  const std::unique_ptr<Model> model = tiny_model();
  const std::vector<GenerateRequest> requests = mixed_requests(14);
  std::vector<GenerateResult> alone;
  for (const GenerateRequest& request : requests) alone.push_back(generate(*model, {request})[0]);
  int compared = 0;
  for (const int64_t max_batch : {1, 3, 5, 64}) {
    const std::vector<GenerateResult> together =
        generate(*model, requests, {.max_batch = max_batch});
    ASSERT_EQ(together.size(), requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(together[i].ids, alone[i].ids) << "request " << i << ", max_batch " << max_batch;
      EXPECT_NEAR(together[i].logprob, alone[i].logprob, 1e-4);
      EXPECT_EQ(together[i].finish, alone[i].finish);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 56);
}

// The plain way: the whole sequence again for every token, no cache.
std::vector<int64_t> greedy_without_cache(Model& model, std::vector<int64_t> ids, int64_t count) {
  const size_t prompt = ids.size();
  for (int64_t i = 0; i < count; ++i) {
    const auto length = static_cast<int64_t>(ids.size());
    Batch batch;
    batch.tokens = at::tensor(ids, at::kLong);
    batch.positions = at::arange(length);
    batch.cu_seqlens = {0, length};
    const at::NoGradGuard no_grad;
    ids.push_back(
        model.logits(model.hidden(batch).narrow(0, length - 1, 1)).argmax().item<int64_t>());
  }
  return {ids.begin() + static_cast<int64_t>(prompt), ids.end()};
}

TEST_F(Generate, EqualsThePlainWayWithoutACache) {
  const std::unique_ptr<Model> model = tiny_model();
  for (const std::vector<int64_t>& prompt :
       {std::vector<int64_t>{7}, {1, 2, 3}, {30, 30, 12, 9, 4, 4, 1}}) {
    GenerateRequest request{.prompt = prompt, .options = {.max_new_tokens = 20}};
    EXPECT_EQ(generate(*model, {request})[0].ids, greedy_without_cache(*model, prompt, 20));
  }
}

// Continuation ids may split from the reference where its two best tokens lie within `gap`;
// log-probabilities of equal ids agree within 1e-4 a token.
void expect_reference(const GenerateResult& result, const Json& ids, double sum_logp,
                      double min_gap, const std::string& what) {
  if (result.ids != ids.get<std::vector<int64_t>>()) {
    EXPECT_LT(min_gap, 1e-3) << what << ": splits although no two tokens were close";
    return;
  }
  EXPECT_NEAR(result.logprob, sum_logp, 1e-4 * std::max<double>(10, double(ids.size()))) << what;
}

TEST_F(Generate, GivesTheReferencesGreedyText) {
  if (!have_shared("fixtures/generation")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int cases = 0, stopped = 0;
  for (const auto& [name, folder] : {std::pair("llama", "fixtures/models/llama"),
                                     std::pair("stories260K", "data/models/stories260K-hf")}) {
    const std::string path = shared_path(std::string("fixtures/generation/") + name + ".json");
    const Json fixture = Json::parse(read_text_file(path, 1 << 24));
    const std::unique_ptr<Model> model = load_model(shared_path(folder), at::kFloat, at::kCPU);
    for (const char* kind : {"greedy_no_eos", "greedy_eos", "greedy_two_eos"}) {
      const Json& group = fixture[kind];
      const Json& items = group.is_array() ? group : group["cases"];
      std::vector<GenerateRequest> requests;
      for (const Json& item : items) {
        GenerateRequest request{.prompt = item["prompt_ids"],
                                .options = {.max_new_tokens = fixture["max_new_tokens"]}};
        if (group.is_object())
          request.options.stop_ids = group["eos_token_id"].get<std::vector<int64_t>>();
        requests.push_back(request);
      }
      const std::vector<GenerateResult> results = generate(*model, requests, {.max_batch = 5});
      for (size_t i = 0; i < results.size(); ++i, ++cases) {
        const std::string what = std::string(name) + " " + kind + " " + std::to_string(i);
        expect_reference(results[i], items[i]["continuation_ids"], items[i]["sum_logp"],
                         items[i]["min_top2_gap"], what);
        const bool full =
            results[i].ids.size() == static_cast<size_t>(requests[i].options.max_new_tokens);
        if (!full) {
          EXPECT_EQ(results[i].finish, Finish::kStop) << what;
        }
        stopped += results[i].finish == Finish::kStop;
      }
    }
  }
  EXPECT_EQ(cases, 48);
  EXPECT_GT(stopped, 10);
}

TEST_F(Generate, TellsTheReferencesStories) {
  if (!have_shared("fixtures/stories")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Json fixture =
      Json::parse(read_text_file(shared_path("fixtures/stories/greedy.json"), 1 << 24));
  const std::unique_ptr<Model> model =
      load_model(shared_path("data/models/stories260K-hf"), at::kFloat, at::kCPU);
  std::vector<GenerateRequest> requests;
  for (const Json& item : fixture["cases"])
    requests.push_back({.prompt = item["prompt_ids"], .options = {.max_new_tokens = 200}});
  const std::vector<GenerateResult> results = generate(*model, requests);
  ASSERT_EQ(results.size(), 5u);
  for (size_t i = 0; i < results.size(); ++i) {
    const Json& item = fixture["cases"][i];
    expect_reference(results[i], item["greedy_ids"], item["sum_logp"], item["min_top2_gap"],
                     "story " + std::to_string(i));
  }
}

TEST_F(Generate, StopsAtAStopIdOrAtTheLength) {
  const std::unique_ptr<Model> model = tiny_model();
  GenerateRequest request{.prompt = {7}, .options = {.max_new_tokens = 12}};
  const GenerateResult whole = generate(*model, {request})[0];
  EXPECT_EQ(whole.ids.size(), 12u);
  EXPECT_EQ(whole.finish, Finish::kLength);
  request.options.stop_ids = {39, whole.ids[4]};
  const GenerateResult cut = generate(*model, {request})[0];
  EXPECT_EQ(cut.finish, Finish::kStop);
  EXPECT_EQ(cut.ids.back(), whole.ids[4]) << "the stop id is part of the result";
  EXPECT_LE(cut.ids.size(), 5u);
  request.options.max_new_tokens = 0;
  EXPECT_TRUE(generate(*model, {request})[0].ids.empty());
  EXPECT_TRUE(generate(*model, {}).empty());
}

TEST_F(Generate, StopsWhereTheModelsPositionsEnd) {
  const std::unique_ptr<Model> model = tiny_model(10);
  GenerateRequest request{.prompt = {1, 2, 3, 4}, .options = {.max_new_tokens = 100}};
  EXPECT_EQ(generate(*model, {request})[0].ids.size(), 6u);
  request.prompt.assign(10, 1);
  EXPECT_TRUE(generate(*model, {request})[0].ids.empty());
}

TEST_F(Generate, TellsEveryTokenAsItComes) {
  const std::unique_ptr<Model> model = tiny_model();
  const std::vector<GenerateRequest> requests = mixed_requests(5);
  std::vector<std::vector<int64_t>> told(5);
  const auto results = generate(
      *model, requests,
      {.max_batch = 2, .on_token = [&](size_t result, int64_t id) { told[result].push_back(id); }});
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(told[i], results[i].ids);
}

// The first sample is what the request gets alone; reading the prompt once changes nothing.
TEST_F(Generate, DrawsSeveralTextsOfOnePrompt) {
  const std::unique_ptr<Model> model = tiny_model();
  std::vector<GenerateRequest> requests = mixed_requests(4);
  for (GenerateRequest& request : requests) request.options.temperature = 1;
  const std::vector<GenerateResult> once = generate(*model, requests);
  requests[1].samples = 3;
  requests[2].samples = 2;
  for (const int64_t max_batch : {1, 2, 64}) {
    const auto all = generate(*model, requests, {.max_batch = max_batch});
    ASSERT_EQ(all.size(), 7u);
    EXPECT_EQ(all[0].ids, once[0].ids);
    EXPECT_EQ(all[1].ids, once[1].ids);
    EXPECT_EQ(all[4].ids, once[2].ids);
    EXPECT_EQ(all[6].ids, once[3].ids);
    EXPECT_NE(all[2].ids, all[1].ids);
    EXPECT_NE(all[3].ids, all[2].ids);
    EXPECT_EQ(all[2].ids, generate(*model, requests)[2].ids);
  }
}

TEST_F(Generate, GivesTheLogProbabilityOfEveryToken) {
  const std::unique_ptr<Model> model = tiny_model();
  for (const GenerateResult& result : generate(*model, mixed_requests(6))) {
    ASSERT_EQ(result.logprobs.size(), result.ids.size());
    double sum = 0;
    for (const float logprob : result.logprobs) sum += logprob;
    EXPECT_NEAR(sum, result.logprob, 1e-4);
  }
}

TEST_F(Generate, EndsBeforeAStopStringWhereverItBegins) {
  if (!have_shared("data/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::string folder = shared_path("data/models/stories260K-hf");
  const std::unique_ptr<Model> model = load_model(folder, at::kFloat, at::kCPU);
  const Tokenizer tokenizer(folder);
  const std::vector<int32_t> prompt = tokenizer.encode("Once upon a time", true);
  GenerateRequest request{.prompt = {prompt.begin(), prompt.end()},
                          .options = {.max_new_tokens = 60}};
  const GenerateSettings settings{.tokenizer = &tokenizer};
  const std::string whole = generate(*model, {request}, settings)[0].text;
  ASSERT_GT(whole.size(), 40u);
  int cuts = 0;
  for (size_t from = 3; from + 5 < whole.size(); from += 7) {
    const std::string stop = whole.substr(from, 5);
    request.stop_strings = {"never said", stop};
    const GenerateResult cut = generate(*model, {request}, settings)[0];
    EXPECT_EQ(cut.text, whole.substr(0, whole.find(stop)));
    EXPECT_EQ(cut.finish, Finish::kStop);
    EXPECT_LE(cut.ids.size(), 60u);
    ++cuts;
  }
  EXPECT_GT(cuts, 5);
  request.stop_strings = {""};
  EXPECT_THROW(generate(*model, {request}, settings), std::invalid_argument);
  request.stop_strings = {"x"};
  EXPECT_THROW(generate(*model, {request}), std::invalid_argument) << "without a tokenizer";
}

TEST_F(Generate, StopsWhenItIsTold) {
  const std::unique_ptr<Model> model = tiny_model();
  std::vector<GenerateRequest> requests = mixed_requests(5);
  for (GenerateRequest& request : requests) request.options = {.max_new_tokens = 30};
  const auto whole = generate(*model, requests);
  std::atomic<bool> stop = false;
  int tokens = 0;
  const auto cut = generate(
      *model, requests,
      {.max_batch = 2, .on_token = [&](size_t, int64_t) { stop = ++tokens >= 7; }, .stop = &stop});
  EXPECT_EQ(tokens, 8) << "what is in one forward comes together";
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(cut[i].finish, Finish::kCancelled);
    EXPECT_EQ(cut[i].ids.size(), i < 2 ? 4u : 0u);
    EXPECT_TRUE(std::equal(cut[i].ids.begin(), cut[i].ids.end(), whole[i].ids.begin()));
  }
}

// Beyond the original length longrope turns every token otherwise: what is in the cache is void.
TEST_F(Generate, EqualsThePlainWayWhereLongropeChanges) {
  const ModelConfig config = parse_model_config(
      R"({"model_type": "phi3", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
          "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64,
          "initializer_range": 0.4, "pad_token_id": null, "original_max_position_embeddings": 16,
          "rope_scaling": {"type": "su", "short_factor": [1, 1.5, 2, 2.5],
                           "long_factor": [2, 4, 8, 16]}})",
      "longrope");
  const std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU);
  initialize(*model, 3);
  const std::vector<int64_t> prompt{1, 2, 3, 9, 8, 30, 5, 1};
  const GenerateRequest request{.prompt = prompt, .options = {.max_new_tokens = 20}};
  EXPECT_EQ(generate(*model, {request})[0].ids, greedy_without_cache(*model, prompt, 20));
}

TEST_F(Generate, NamesTheRequestAtFault) {
  const std::unique_ptr<Model> model = tiny_model();
  const auto refusal = [&](const GenerateRequest& bad, int64_t max_batch = 4) -> std::string {
    try {
      generate(*model, {{.prompt = {1}, .options = {}}, bad}, {.max_batch = max_batch});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal({}), HasSubstr("request 1: the prompt has no token"));
  EXPECT_THAT(refusal({.prompt = {40}, .options = {}}), HasSubstr("request 1: the id 40"));
  EXPECT_THAT(refusal({.prompt = {-1}, .options = {}}), HasSubstr("the id -1"));
  EXPECT_THAT(refusal({.prompt = std::vector<int64_t>(65, 1), .options = {}}),
              HasSubstr("65 tokens but the model reads no more than 64"));
  EXPECT_THAT(refusal({.prompt = {1}, .options = {.temperature = -1}}),
              HasSubstr("request 1: temperature"));
  EXPECT_THAT(refusal({.prompt = {1}, .options = {}, .samples = 0}), HasSubstr("samples"));
  EXPECT_THAT(refusal({.prompt = {1}, .options = {}}, 0), HasSubstr("max_batch is 0"));
}

}  // namespace
}  // namespace lathe

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/one_thread.h"
#include "tests/shared.h"
#include "tests/spawn.h"
#include "trainer/generate/beam_search.h"
#include "trainer/generate/generate.h"
#include "trainer/generate/mixture.h"
#include "trainer/generate/shared_prefixes.h"
#include "trainer/hf_folder.h"
#include "trainer/score.h"

// Prompts that begin alike hold the same blocks, which changes no text.
namespace lathe {
namespace {

class Sharing : public OneThread {};

std::unique_ptr<Model> make_tiny(const std::string& family, const std::string& more = "",
                                 const TensorParallel& tp = {}, uint64_t seed = 3) {
  const ModelConfig config =
      parse_model_config(R"({"model_type": ")" + family + R"(", "vocab_size": 40, "hidden_size": 16,
          "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.4)" +
                             more + "}",
                         family);
  std::unique_ptr<Model> model = make_model(config, at::kFloat, at::kCPU, tp);
  initialize(*model, seed);
  return model;
}

std::vector<int64_t> some_ids(size_t count, int64_t step) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < count; ++i) ids.push_back((static_cast<int64_t>(i * i) + step) % 40);
  return ids;
}

// Of one beginning, with 3 to 10 ids of their own.
std::vector<GenerateRequest> judged(size_t count, size_t common) {
  std::vector<GenerateRequest> requests(count);
  for (size_t i = 0; i < count; ++i) {
    requests[i].prompt = some_ids(common, 1);
    for (size_t j = 0; j < 3 + i % 8; ++j)
      requests[i].prompt.push_back(static_cast<int64_t>((i * 7 + j * 11) % 40));
    requests[i].options.max_new_tokens = static_cast<int64_t>(2 + i % 5);
    requests[i].options.temperature = i % 2 == 0 ? 0 : 1;
    requests[i].options.seed = i;
  }
  return requests;
}

// What each of them gets alone.
void expect_as_alone(Model& model, const std::vector<GenerateRequest>& requests,
                     const std::vector<GenerateResult>& together) {
  size_t next = 0;
  for (const GenerateRequest& request : requests) {
    for (const GenerateResult& alone : generate(model, {request})) {
      ASSERT_LT(next, together.size());
      EXPECT_EQ(together[next].ids, alone.ids) << next;
      EXPECT_NEAR(together[next].logprob, alone.logprob, 1e-4) << next;
      ++next;
    }
  }
  EXPECT_EQ(next, together.size());
}

TEST_F(Sharing, ReadsACommonBeginningOnce) {
  const auto model = make_tiny("llama");
  const std::vector<GenerateRequest> requests = judged(16, 200);
  int64_t own = 0;
  for (const GenerateRequest& request : requests) own += std::ssize(request.prompt) - 192;
  for (const int64_t max_batch : {1, 3, 16, 64}) {
    GenerateStats stats;
    const auto results = generate(*model, requests, {.max_batch = max_batch, .stats = &stats});
    EXPECT_EQ(stats.prompt_tokens_read, 192 + own) << max_batch;
    expect_as_alone(*model, requests, results);
    EXPECT_EQ(model->num_kv_blocks(), 0);
  }
}

TEST_F(Sharing, ReadsThePromptOfManySamplesOnce) {
  const auto model = make_tiny("llama");
  GenerateRequest request{.prompt = some_ids(150, 2), .samples = 8};
  request.options = {.max_new_tokens = 40, .temperature = 1};
  GenerateStats stats;
  const auto results = generate(*model, {request}, {.stats = &stats});
  EXPECT_EQ(stats.prompt_tokens_read, 150);
  EXPECT_EQ(model->num_kv_blocks(), 0);
  EXPECT_EQ(generate(*model, {request}, {.max_batch = 3})[5].ids, results[5].ids);
  EXPECT_NE(results[0].ids, results[1].ids);
}

TEST_F(Sharing, StoppedInTheMidstOfAPromptSaysSoForAllSamples) {
  const auto model = make_tiny("llama");
  std::vector<GenerateRequest> requests(2);
  requests[0] = {.prompt = {1}, .options = {.max_new_tokens = 50}};
  requests[1] = {.prompt = some_ids(500, 2), .options = {.max_new_tokens = 5}, .samples = 3};
  std::atomic<bool> stop = false;
  const auto results = generate(*model, requests,
                                {.on_token = [&](size_t, int64_t) { stop = true; }, .stop = &stop});
  ASSERT_EQ(results.size(), 4u);
  for (const GenerateResult& result : results)
    EXPECT_EQ(result.finish, GenerateResult::Finish::kCancelled);
  EXPECT_EQ(model->num_kv_blocks(), 0);
}

TEST_F(Sharing, OfSeveralBeginningsKeepsThemApart) {
  const auto model = make_tiny("llama");
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < 12; ++i) {
    GenerateRequest request{.prompt = some_ids(i % 3 == 0 ? 32 : 140, 1),
                            .samples = 1 + int64_t(i % 2)};
    if (i % 3 == 2) request.prompt[70] = 39;  // parts in the third block
    for (size_t j = 0; j < i; ++j) request.prompt.push_back(static_cast<int64_t>(j));
    request.options = {.max_new_tokens = 5, .temperature = 0.9, .seed = i};
    requests.push_back(request);
  }
  for (const int64_t max_batch : {1, 4, 64})
    expect_as_alone(*model, requests, generate(*model, requests, {.max_batch = max_batch}));
  EXPECT_EQ(model->num_kv_blocks(), 0);
}

TEST_F(Sharing, InEveryFamilyChangesNothing) {
  const std::string fixed_pads = R"(, "pad_token_id": null)";
  const std::vector<std::pair<std::string, std::string>> families{
      {"qwen3", ""},
      {"mistral", R"(, "sliding_window": 20)"},
      {"gemma2", R"(, "head_dim": 4, "sliding_window": 24, "attn_logit_softcapping": 5.0)"},
      {"gemma3_text", R"(, "head_dim": 4, "sliding_window": 24)"},
      {"mixtral", R"(, "num_local_experts": 3)"},
      {"phi3", fixed_pads}};
  for (const auto& [family, more] : families) {
    SCOPED_TRACE(family);
    const auto model = make_tiny(family, more);
    const std::vector<GenerateRequest> requests = judged(5, 150);
    GenerateStats stats;
    const auto results = generate(*model, requests, {.max_batch = 3, .stats = &stats});
    EXPECT_LT(stats.prompt_tokens_read, 300);
    expect_as_alone(*model, requests, results);
  }
}

// Beyond the original length all tokens are turned otherwise: nothing of it may be shared.
TEST_F(Sharing, WhereAnglesHangOnTheLengthReadsEachWhole) {
  const auto model = make_tiny("phi3", R"(, "pad_token_id": null,
      "original_max_position_embeddings": 100, "rope_scaling": {"type": "su",
      "short_factor": [1, 1.5], "long_factor": [2, 4]})");
  std::vector<GenerateRequest> requests = judged(4, 150);
  const std::vector<GenerateRequest> shorter = judged(4, 93);  // some grow beyond 100
  requests.insert(requests.end(), shorter.begin(), shorter.end());
  for (GenerateRequest& request : requests) request.options.max_new_tokens = 8;
  const auto results = generate(*model, requests, {.max_batch = 3});
  expect_as_alone(*model, requests, results);
  EXPECT_EQ(model->num_kv_blocks(), 0);
}

TEST_F(Sharing, OnRanksThatShareTheHeadsEqualsOneRank) {
  const std::vector<GenerateRequest> requests = judged(6, 100);
  const auto expected = generate(*make_tiny("llama"), requests, {.max_batch = 3});
  spawn_mesh(2, {.dp = 1, .tp = 2}, [&](Mesh& mesh) {
    const auto model = make_tiny("llama", "", TensorParallel(mesh.tp(), true));
    GenerateStats stats;
    const auto results = generate(*model, requests, {.max_batch = 3, .stats = &stats});
    for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(results[i].ids, expected[i].ids) << i;
    EXPECT_LT(stats.prompt_tokens_read, 200);
    EXPECT_EQ(model->num_kv_blocks(), 0);
  });
}

TEST_F(Sharing, OfAStudentAndItsTeacherSharesBoth) {
  const auto student = make_tiny("llama"), teacher = make_tiny("llama", "", {}, 4);
  MixtureModel mixture(*student, {.model = teacher.get()}, 0.3, 40);
  const std::vector<GenerateRequest> requests = judged(6, 100);
  GenerateStats stats;
  const auto results = generate(mixture, requests, {.max_batch = 3, .stats = &stats});
  EXPECT_LT(stats.prompt_tokens_read, 200);
  expect_as_alone(mixture, requests, results);
  EXPECT_EQ(student->num_kv_blocks(), 0);
  EXPECT_EQ(teacher->num_kv_blocks(), 0);
}

TEST_F(Sharing, BeamsAndScoresGiveTheirBlocksBack) {
  const auto model = make_tiny("llama");
  const std::vector<Beam> beams =
      beam_search(*model, some_ids(70, 1), {.num_beams = 4, .max_new_tokens = 40});
  EXPECT_EQ(beams.size(), 4u);
  EXPECT_EQ(model->num_kv_blocks(), 0);
  std::vector<ScoreRequest> choices;
  for (int64_t i = 0; i < 4; ++i) {
    choices.push_back({some_ids(50, 1), 50});
    choices.back().ids.insert(choices.back().ids.end(), {i, i + 1});
  }
  for (size_t i = 0; const Score& s : score(*model, choices))
    EXPECT_NEAR(s.logprob, score(*model, {choices[i++]})[0].logprob, 1e-4);
  EXPECT_EQ(model->num_kv_blocks(), 0);
}

KvCache cache_of(KvPool& pool) {
  KvCache cache;
  cache.capacity = 200;
  cache.pool = &pool;
  return cache;
}

// Two that begin alike: the second waits while the first reads, then goes on behind it.
TEST(SharedPrefixes, OneReadsAndTheOtherTakes) {
  KvPool pool({1, 2, 1, kKvBlock, 2}, at::kFloat);
  const std::vector<int64_t> ids = some_ids(2 * kKvBlock + 1, 1);
  SharedPrefixes prefixes(10);
  auto first = prefixes.expect(ids), second = prefixes.expect(ids);
  KvCache a = cache_of(pool), b = a;
  EXPECT_TRUE(prefixes.pass(first, ids, a));
  prefixes.read(first, ids, kKvBlock + 3);
  EXPECT_FALSE(prefixes.pass(second, ids, b));
  a.make_room(kKvBlock + 3);
  a.length = kKvBlock + 3;
  EXPECT_TRUE(prefixes.pass(first, ids, a));
  EXPECT_TRUE(prefixes.pass(second, ids, b)) << "of the second block nobody said that he reads it";
  EXPECT_EQ(b.length, kKvBlock);
  EXPECT_EQ(b.blocks[0].data_ptr(), a.blocks[0].data_ptr());
  a.forget();
  EXPECT_EQ(pool.num_in_use(), 1) << "nobody comes for it any longer but b has it";
  b.forget();
  EXPECT_EQ(pool.num_in_use(), 0);
}

TEST(SharedPrefixes, KeepNoMoreThanTheirLimit) {
  KvPool pool({1, 2, 1, kKvBlock, 2}, at::kFloat);
  const std::vector<int64_t> ids = some_ids(3 * kKvBlock + 1, 1);
  SharedPrefixes prefixes(2);
  auto first = prefixes.expect(ids), second = prefixes.expect(ids);
  {
    KvCache a = cache_of(pool);
    a.make_room(3 * kKvBlock + 1);
    a.length = 3 * kKvBlock + 1;
    EXPECT_TRUE(prefixes.pass(first, ids, a));
  }
  EXPECT_EQ(pool.num_in_use(), 2);
  KvCache b = cache_of(pool);
  EXPECT_TRUE(prefixes.pass(second, ids, b));
  EXPECT_EQ(b.length, 2 * kKvBlock);
}

}  // namespace
}  // namespace lathe

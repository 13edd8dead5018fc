#include "trainer/score.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/shared.h"
#include "tests/tiny.h"
#include "trainer/hf_folder.h"
#include "trainer/json_fields.h"
#include "trainer/token_ids.h"

namespace lathe {
namespace {

using testing::HasSubstr;

std::vector<ScoreRequest> some_requests() {
  std::vector<ScoreRequest> requests;
  for (int64_t length : {5, 1, 17, 2, 30, 0, 9}) {
    ScoreRequest request;
    for (int64_t i = 0; i < length; ++i) request.ids.push_back((7 * i + length) % 37);
    request.first = 1 + length / 3;
    requests.push_back(request);
  }
  return requests;
}

TEST(TokenIds, ReachAsFarAsTheRopeIsStretched) {
  ModelConfig config{.vocab_size = 2, .max_position_embeddings = 8};
  const auto accepts = [&](size_t tokens) {
    try {
      check_token_ids(std::vector<int64_t>(tokens, 1), config, "text");
    } catch (const std::invalid_argument&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(accepts(8) && !accepts(9));
  for (const char* type : {"linear", "dynamic"}) {
    config.rope_scaling = {.type = type, .factor = 4};
    EXPECT_TRUE(accepts(32) && !accepts(33)) << type;
  }
  // Of these max_position_embeddings is the length that they reach.
  config.rope_scaling = {.type = "yarn", .factor = 4};
  EXPECT_TRUE(accepts(8) && !accepts(9));
}

TEST(Score, IsTheLogSoftmaxOfTheLogits) {
  const std::unique_ptr<Model> model = tiny_model();
  for (const ScoreRequest& request : some_requests()) {
    const Score got = score(*model, {request})[0];
    ASSERT_EQ(std::ssize(got.logprobs),
              std::max<int64_t>(0, std::ssize(request.ids) - request.first));
    if (got.logprobs.empty()) continue;
    const at::Tensor all = logits_of(*model, request.ids).log_softmax(-1);
    double sum = 0;
    for (size_t i = 0; i < got.logprobs.size(); ++i) {
      const auto place = request.first + static_cast<int64_t>(i);
      const auto expected = all[place - 1][request.ids[place]].item<double>();
      EXPECT_NEAR(got.logprobs[i], expected, 1e-5);
      sum += expected;
    }
    EXPECT_NEAR(got.logprob, sum, 1e-4);
  }
}

TEST(Score, DoesNotDependOnWhatIsScoredBeside) {
  const std::unique_ptr<Model> model = tiny_model();
  const std::vector<ScoreRequest> requests = some_requests();
  for (const int64_t max_tokens : {1, 20, 4096}) {
    const std::vector<Score> together = score(*model, requests, max_tokens);
    ASSERT_EQ(together.size(), requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_NEAR(together[i].logprob, score(*model, {requests[i]})[0].logprob, 1e-5) << i;
    }
  }
}

// Choices after one question: what they share is read once, which changes nothing.
TEST(Score, ReadsWhatNeighboursShareOnce) {
  const std::unique_ptr<Model> model = tiny_model();
  std::vector<ScoreRequest> requests;
  for (int64_t question = 0; question < 5; ++question) {
    for (int64_t choice = 0; choice < 4; ++choice) {
      ScoreRequest request;
      for (int64_t i = 0; i < 20 + 3 * question; ++i) {
        request.ids.push_back((5 * i + question) % 37);
      }
      request.first = std::ssize(request.ids) - (choice == 3 ? 2 : 0);  // one asks earlier
      for (int64_t i = 0; i <= choice; ++i) request.ids.push_back((11 * choice + i) % 37);
      requests.push_back(request);
    }
  }
  requests.push_back(requests.back());
  requests.push_back({{1, 2, 3}, 1});
  std::vector<double> alone;
  for (const ScoreRequest& request : requests) alone.push_back(score(*model, {request})[0].logprob);
  for (const int64_t max_tokens : {1, 40, 100, 4096}) {
    const std::vector<Score> together = score(*model, requests, max_tokens);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_NEAR(together[i].logprob, alone[i], 1e-4) << i << ", max_tokens " << max_tokens;
      EXPECT_EQ(std::ssize(together[i].logprobs), std::ssize(requests[i].ids) - requests[i].first);
    }
  }
}

TEST(Score, GivesTheReferencesLogLikelihoods) {
  if (!have_shared("fixtures/generation")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const auto& [name, folder] : {std::pair("llama", "fixtures/models/llama"),
                                     std::pair("stories260K", "data/models/stories260K-hf")}) {
    const std::string path = shared_path(std::string("fixtures/generation/") + name + ".json");
    const Json fixture = Json::parse(read_text_file(path, 1 << 24));
    const std::unique_ptr<Model> model = load_model(shared_path(folder), at::kFloat, at::kCPU);
    std::vector<ScoreRequest> requests;
    for (const Json& item : fixture["loglikelihood"]) {
      ScoreRequest request{item["prompt_ids"], std::ssize(item["prompt_ids"])};
      for (const int64_t id : item["continuation_ids"]) request.ids.push_back(id);
      requests.push_back(request);
    }
    const std::vector<Score> scores = score(*model, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const double expected = fixture["loglikelihood"][i]["sum_logp"];
      EXPECT_NEAR(scores[i].logprob, expected, 1e-4 * std::max(1.0, -expected)) << name << " " << i;
      ++compared;
    }
  }
  EXPECT_GE(compared, 8);
}

TEST(Score, BeginsACompletionWhereTheTokensPart) {
  if (!have_shared("data/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const Tokenizer tokenizer(shared_path("data/models/stories260K-hf"));
  const std::string prompt = "Once upon a time there was a";
  const ScoreRequest whole = text_request(tokenizer, prompt + " little girl.");
  const ScoreRequest request = completion_request(tokenizer, prompt, " little girl.");
  EXPECT_EQ(request.ids, whole.ids);
  EXPECT_EQ(request.first, std::ssize(tokenizer.encode(prompt, true)));
  // A prompt that ends within a word: the token over the border is scored.
  const ScoreRequest cut = completion_request(tokenizer, prompt + " litt", "le girl.");
  EXPECT_EQ(cut.ids, whole.ids);
  EXPECT_LE(cut.first, std::ssize(tokenizer.encode(prompt + " litt", true)));
  EXPECT_EQ(completion_request(tokenizer, "", "").first, 1);
}

TEST(Score, NamesTheRequestAtFault) {
  const std::unique_ptr<Model> model = tiny_model();
  const auto refusal = [&](const ScoreRequest& bad) -> std::string {
    try {
      score(*model, {{{1, 2}}, bad});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal({{1, 37}}), HasSubstr("request 1: the id 37 is not in the vocabulary of 37"));
  EXPECT_THAT(refusal({{-1}}), HasSubstr("request 1: the id -1"));
  EXPECT_THAT(refusal({std::vector<int64_t>(65, 1)}), HasSubstr("65 tokens"));
  EXPECT_THAT(refusal({{1, 2}, 0}), HasSubstr("request 1: the first token"));
}

}  // namespace
}  // namespace lathe

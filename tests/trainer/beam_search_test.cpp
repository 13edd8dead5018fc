#include "trainer/generate/beam_search.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/shared.h"
#include "tests/tiny.h"
#include "trainer/generate/generate.h"
#include "trainer/hf_folder.h"
#include "trainer/json_fields.h"
#include "trainer/score.h"

namespace lathe {
namespace {

TEST(BeamSearch, FindsTheReferencesBeams) {
  if (!have_shared("fixtures/generation")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int beams = 0;
  for (const auto& [name, folder] : {std::pair("llama", "fixtures/models/llama"),
                                     std::pair("stories260K", "data/models/stories260K-hf")}) {
    const std::string path = shared_path(std::string("fixtures/generation/") + name + ".json");
    const Json fixture = Json::parse(read_text_file(path, 1 << 24));
    const std::unique_ptr<Model> model = load_model(shared_path(folder), at::kFloat, at::kCPU);
    for (const char* kind : {"beam4", "beam3_length_penalty"}) {
      const Json& group = fixture[kind];
      const BeamOptions options{.num_beams = group["num_beams"],
                                .max_new_tokens = group["max_new_tokens"],
                                .length_penalty = group["length_penalty"],
                                .early_stopping = group["early_stopping"],
                                .stop_ids = group["eos_token_id"]};
      for (const Json& item : group["cases"]) {
        const std::vector<Beam> found = beam_search(*model, item["prompt_ids"], options);
        ASSERT_EQ(found.size(), item["hypotheses"].size());
        for (size_t i = 0; i < found.size(); ++i) {
          const Json& expected = item["hypotheses"][i];
          EXPECT_EQ(found[i].ids, expected["ids"].get<std::vector<int64_t>>());
          EXPECT_NEAR(found[i].logprob, expected["sum_logp"], 1e-3);
          EXPECT_NEAR(found[i].score, expected["score"], 1e-4);
          ++beams;
        }
      }
    }
  }
  EXPECT_EQ(beams, 42);
}

TEST(BeamSearch, WithOneBeamIsGreedy) {
  const std::unique_ptr<Model> model = tiny_model();
  for (const std::vector<int64_t>& prompt : {std::vector<int64_t>{3}, {1, 2, 30, 4}}) {
    const GenerateRequest request{.prompt = prompt,
                                  .options = {.max_new_tokens = 12, .stop_ids = {5}}};
    const std::vector<Beam> beams =
        beam_search(*model, prompt, {.num_beams = 1, .max_new_tokens = 12, .stop_ids = {5}});
    ASSERT_EQ(beams.size(), 1u);
    EXPECT_EQ(beams[0].ids, generate(*model, {request})[0].ids);
  }
}

// With as many beams as there are texts, beam search is exhaustive search.
TEST(BeamSearch, WithBeamsEnoughFindsTheLikeliestTexts) {
  const std::unique_ptr<Model> model = tiny_model();
  const std::vector<int64_t> prompt{7, 8};
  const std::vector<Beam> found =
      beam_search(*model, prompt, {.num_beams = 37, .max_new_tokens = 2});
  std::vector<double> all;
  for (int64_t a = 0; a < 37; ++a) {
    std::vector<ScoreRequest> requests;
    for (int64_t b = 0; b < 37; ++b) requests.push_back({{7, 8, a, b}, 2});
    for (const Score& s : score(*model, requests)) all.push_back(s.logprob);
  }
  std::sort(all.rbegin(), all.rend());
  ASSERT_EQ(found.size(), 37u);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i].logprob, all[i], 1e-4);
}

TEST(BeamSearch, NamesWhatIsOutOfRange) {
  const std::unique_ptr<Model> model = tiny_model();
  EXPECT_THROW(beam_search(*model, {1}, {.num_beams = 0}), std::invalid_argument);
  EXPECT_THROW(beam_search(*model, {}, {}), std::invalid_argument);
  EXPECT_THROW(beam_search(*model, {99}, {}), std::invalid_argument);
  EXPECT_TRUE(beam_search(*model, {1}, {.max_new_tokens = 0}).empty());
}

}  // namespace
}  // namespace lathe

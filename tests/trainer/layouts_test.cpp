#include "tests/trainer/layouts.h"

namespace lathe {
namespace {

using Kind = Trained::Kind;

void expect_one_rank_s_outcome(const Trained& trained, const std::vector<Layout>& layouts) {
  const LayoutOutcome expected = outcome_of(trained, {});
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(trained.text() + ": " + layout.text());
    expect_close(outcome_of(trained, layout), expected);
  }
}

// Every value of every axis, each pair of dp and tp, and each stage with and without tp.
const std::vector<Layout> kSome{
    {.dp = 2, .tp = 1, .zero = 0},
    {.dp = 1, .tp = 2, .zero = 0, .sequence = false},
    {.dp = 1, .tp = 4, .zero = 1},
    {.dp = 4, .tp = 1, .zero = 2, .accumulation = 4},
    {.dp = 2, .tp = 1, .zero = 3, .accumulation = 2},
    {.dp = 2, .tp = 2, .zero = 3, .accumulation = 4},
};

TEST(Layouts, OfAFamilyWithoutBiasEqualOneRank) {
  expect_one_rank_s_outcome({"llama", Kind::kFull, R"(, "tie_word_embeddings": false)"}, kSome);
}

TEST(Layouts, OfAFamilyWithNormsOnHeadsEqualOneRank) {
  expect_one_rank_s_outcome({"qwen3", Kind::kFull, R"(, "tie_word_embeddings": true)"}, kSome);
}

TEST(Layouts, OfAFamilyWithCapsAndATiedHeadEqualOneRank) {
  expect_one_rank_s_outcome({"gemma2"}, kSome);
}

TEST(Layouts, OfAdaptersEqualOneRank) {
  expect_one_rank_s_outcome({"llama", Kind::kLora}, kSome);
  expect_one_rank_s_outcome({"qwen3", Kind::kDora, R"(, "attention_bias": true)"}, kSome);
}

TEST(Layouts, OfExpertsAndOfLearnedPositionsEqualOneRank) {
  expect_one_rank_s_outcome({"mixtral", Kind::kFull, R"(, "num_local_experts": 4)"}, kSome);
  expect_one_rank_s_outcome({"gpt2", Kind::kFull, R"(, "n_embd": 16, "n_layer": 2, "n_head": 4,
      "n_inner": 22, "n_positions": 64)"},
                            kSome);
}

TEST(Layouts, GiveTheSameBitsTwice) {
  for (const Layout& layout :
       {Layout{.dp = 2, .tp = 2, .zero = 1}, Layout{.dp = 2, .tp = 2, .zero = 3}}) {
    const Trained trained{"qwen3"};
    expect_same_bits(outcome_of(trained, layout), outcome_of(trained, layout));
  }
}

// The whole product: some minutes. tests/CMakeLists.txt runs it under the label `slow`.
void expect_all_equal(const std::string& family) {
  for (const Kind kind : {Kind::kFull, Kind::kLora}) {
    std::vector<Layout> layouts;
    for (const int dp : {1, 2, 4}) {
      for (const int tp : {1, 2, 4}) {
        for (const int zero : {0, 1, 2, 3}) {
          for (const bool sequence : {false, true}) {
            for (const int64_t accumulation : {1, 4})
              layouts.push_back({dp, tp, zero, sequence, accumulation});
          }
        }
      }
    }
    EXPECT_EQ(layouts.size(), 144u);
    expect_one_rank_s_outcome({family, kind}, layouts);
  }
}

TEST(Layouts, DISABLED_AllOfLlamaEqualOneRank) { expect_all_equal("llama"); }
TEST(Layouts, DISABLED_AllOfQwen3EqualOneRank) { expect_all_equal("qwen3"); }
TEST(Layouts, DISABLED_AllOfGemma2EqualOneRank) { expect_all_equal("gemma2"); }

}  // namespace
}  // namespace lathe

#include "trainer/models/rotary_table.h"

#include "tests/trainer/parity.h"

namespace lathe {
namespace {

TEST(RotaryTable, HasTheReferencesFrequencies) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const std::string fixture :
       {"llama", "llama3", "llama_linear", "llama_yarn", "llama_tied"}) {
    const auto expected = read_tensors(folder_of(fixture) + "/expected.safetensors");
    if (expected.count("rope.inv_freq") == 0) continue;
    const RotaryFrequencies got = rotary_frequencies(read_model_config(folder_of(fixture)));
    EXPECT_LT(difference(at::tensor(got.inverse), expected.at("rope.inv_freq")), 1e-6) << fixture;
    EXPECT_NEAR(got.factor, expected.at("rope.attention_scaling").item<double>(), 1e-6) << fixture;
    ++compared;
  }
  EXPECT_GE(compared, 3);
}

TEST(RotaryTable, GrowsAndKeepsItsValues) {
  RotaryTable table({{1.0f, 0.5f}, 2}, at::kCPU);
  const at::Tensor first = table.at(at::tensor({0, 3}, at::kLong), 4).cos.clone();
  const RotaryAngles later = table.at(at::tensor({0, 3, 5000}, at::kLong), 5001);
  EXPECT_TRUE(same_bits(later.cos.slice(0, 0, 2), first));
  EXPECT_FLOAT_EQ(later.sin[2][1].item<float>(), 2 * std::sin(2500.0));
}

TEST(RotaryTable, NamesAScalingItDoesNotKnow) {
  ModelConfig config;
  config.head_dim = 8;
  config.rope_scaling.type = "mrope";
  try {
    rotary_frequencies(config);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("mrope"));
  }
}

ModelConfig stretched(const std::string& scaling) {
  return parse_model_config(
      R"({"model_type": "phi3", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
          "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64,
          "initializer_range": 0.4, "pad_token_id": null, )" +
          scaling + "}",
      "stretched");
}

const char* const kLongrope =
    R"("original_max_position_embeddings": 16, "rope_scaling": {"type": "su",
       "short_factor": [1, 1.5, 2, 2.5], "long_factor": [2, 4, 8, 16]})";
const char* const kDynamic = R"("rope_scaling": {"rope_type": "dynamic", "factor": 3})";

TEST(RotaryTable, DividesByTheShortOrTheLongFactorsOfLongrope) {
  const ModelConfig config = stretched(kLongrope);
  EXPECT_EQ(config.rope_scaling.type, "longrope");
  EXPECT_EQ(config.rope_scaling.factor, 4);
  for (const auto& [length, divisors] : {std::pair(16, std::vector<double>{1, 1.5, 2, 2.5}),
                                         std::pair(17, std::vector<double>{2, 4, 8, 16})}) {
    const RotaryFrequencies got = rotary_frequencies(config, length);
    EXPECT_NEAR(got.factor, std::sqrt(1 + std::log(4.0) / std::log(16.0)), 1e-12);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_FLOAT_EQ(got.inverse[i], std::pow(1e4, -0.25 * double(i)) / divisors[i]);
    }
  }
}

TEST(RotaryTable, RaisesTheBaseOfDynamicBeyondTheModelsLength) {
  const ModelConfig config = stretched(kDynamic);
  EXPECT_EQ(rotary_frequencies(config, 64).inverse, rotary_frequencies(config).inverse);
  // 3 * 128 / 64 - 2 = 4, to the power 8 / 6.
  const double base = 1e4 * std::pow(4.0, 8.0 / 6);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(rotary_frequencies(config, 128).inverse[i], std::pow(base, -0.25 * double(i)));
  }
}

TEST(RotaryTable, TurnsADocumentByItsOwnLengthWhateverIsBesideIt) {
  const at::NoGradGuard no_grad;
  for (const char* scaling : {kLongrope, kDynamic}) {
    const auto model = make_model(stretched(scaling), at::kFloat, at::kCPU);
    initialize(*model, 3);
    std::vector<Document> documents(3);
    for (size_t d = 0; d < 3; ++d) {
      for (int64_t i = 0; i < std::vector<int64_t>{9, 20, 100}[d]; ++i)
        documents[d].ids.push_back((7 * i + 3) % 40);
    }
    const at::Tensor together = model->hidden(batch_of(documents));
    int64_t begin = 0;
    for (const Document& d : documents) {
      const auto length = static_cast<int64_t>(d.ids.size());
      EXPECT_LT(difference(together.slice(0, begin, begin + length), model->hidden(batch_of({d}))),
                1e-6);
      begin += length;
    }
    // The same ids in a longer document are another thing.
    const at::Tensor first = together.slice(0, 0, 9), later = together.slice(0, 29, 38);
    EXPECT_GT(difference(first, later), 1e-3);
  }
}

}  // namespace
}  // namespace lathe

#include "trainer/models/rotary_table.h"

#include "tests/trainer/parity.h"

namespace lathe {
namespace {

TEST(RotaryTable, HasTheReferencesFrequencies) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int compared = 0;
  for (const std::string fixture :
       {"llama", "llama3", "llama_linear", "llama_yarn", "llama_tied"}) {
    const auto expected = read_all(folder_of(fixture) + "/expected.safetensors");
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
  config.rope_scaling.type = "longrope";
  try {
    rotary_frequencies(config);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("longrope"));
  }
}

}  // namespace
}  // namespace lathe

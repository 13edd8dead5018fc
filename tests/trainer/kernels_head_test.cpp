#include "trainer/kernels/head.h"

#include "tests/trainer/kernel_check.h"

namespace lathe {
namespace {

struct Result {
  at::Tensor log_probs, dhidden, dweight;
};

Result run(at::ScalarType type, const HeadOptions& options, int64_t rows = 29) {
  Parameter w = random_parameter("w", {101, 12}, type, 1);
  at::Tensor hidden = random_tensor({rows, 12}, type, 2).set_requires_grad(true);
  const at::Tensor targets = (at::arange(rows) * 7).remainder(101);
  const at::Tensor y = head_log_probs(hidden, w, targets, options);
  y.backward(random_tensor({rows}, at::kDouble, 3).to(y.scalar_type()));
  return {y, hidden.grad(), w.grad};
}

Result reference(at::ScalarType type, int64_t rows = 29) {
  at::Tensor w = random_tensor({101, 12}, type, 1).to(at::kDouble).set_requires_grad(true);
  at::Tensor hidden = random_tensor({rows, 12}, type, 2).to(at::kDouble).set_requires_grad(true);
  const at::Tensor targets = (at::arange(rows) * 7).remainder(101).unsqueeze(1);
  const at::Tensor y = at::mm(hidden, w.t()).log_softmax(1).gather(1, targets).squeeze(1);
  y.backward(random_tensor({rows}, at::kDouble, 3));
  return {y, hidden.grad(), w.grad()};
}

TEST(Head, EqualsLogSoftmaxInEveryTypeAndPath) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const Path path : {Path::kBest, Path::kPlain}) {
      for (const int64_t keep : {int64_t{0}, int64_t{8000}, int64_t{1} << 20}) {
        const Result got = run(type, {8, keep, path}), expected = reference(type);
        EXPECT_LT(difference(got.log_probs, expected.log_probs), tolerance(type));
        EXPECT_LT(difference(got.dhidden, expected.dhidden), tolerance(type));
        EXPECT_LT(difference(got.dweight, expected.dweight), tolerance(type));
      }
    }
  }
}

TEST(Head, KeptLogitsGiveTheSameBits) {
  const Result kept = run(at::kFloat, {8, int64_t{1} << 20}), remade = run(at::kFloat, {8, 0});
  EXPECT_TRUE(same_bits(kept.log_probs, remade.log_probs));
  EXPECT_TRUE(same_bits(kept.dhidden, remade.dhidden));
  EXPECT_TRUE(same_bits(kept.dweight, remade.dweight));
}

TEST(Head, GivesTheSameWhenTheGraphIsRunAgain) {
  Parameter w = random_parameter("w", {101, 12}, at::kFloat, 1);
  at::Tensor hidden = random_tensor({29, 12}, at::kFloat, 2).set_requires_grad(true);
  const at::Tensor targets = (at::arange(29) * 7).remainder(101);
  const at::Tensor y = head_log_probs(hidden, w, targets, {.chunk_rows = 8}).sum();
  y.backward({}, /*retain_graph=*/true);
  const at::Tensor once = w.grad.clone(), dhidden = hidden.grad().clone();
  w.grad.zero_();
  hidden.mutable_grad().zero_();
  y.backward();
  EXPECT_TRUE(same_bits(w.grad, once));
  EXPECT_TRUE(same_bits(hidden.grad(), dhidden));
}

TEST(Head, CutsChunksEvenly) {
  EXPECT_EQ(even_chunk_rows(0, 512), 1);
  EXPECT_EQ(even_chunk_rows(512, 512), 512);
  EXPECT_EQ(even_chunk_rows(513, 512), 257);
  EXPECT_EQ(even_chunk_rows(1030, 512), 344);
  for (int64_t rows = 1; rows < 40; ++rows) {
    const int64_t each = even_chunk_rows(rows, 8), chunks = (rows + each - 1) / each;
    EXPECT_LE(each, 8);
    EXPECT_EQ(chunks, (rows + 7) / 8);
  }
}

TEST(Head, TakesNoRows) {
  const Result got = run(at::kFloat, {}, 0);
  EXPECT_EQ(got.log_probs.numel(), 0);
  EXPECT_EQ(got.dweight.abs().sum().item<float>(), 0);
}

TEST(Head, RefusesATargetOutsideTheVocabulary) {
  Parameter w = random_parameter("w", {101, 12}, at::kFloat, 1);
  const at::Tensor hidden = random_tensor({1, 12}, at::kFloat, 2);
  EXPECT_THROW(head_log_probs(hidden, w, at::full({1}, 101, at::kLong)), std::invalid_argument);
  EXPECT_THROW(head_log_probs(hidden, w, at::full({1}, -100, at::kLong)), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

#include "trainer/kernels/attention.h"

#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/attention_cpu.h"

namespace lathe {
namespace {

using Attention = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                 const std::vector<int64_t>&, const Scoring&);

std::vector<at::Tensor> run(Attention attend, at::ScalarType type, int64_t heads, int64_t kv_heads,
                            int64_t head_dim, const std::vector<int64_t>& cu,
                            const Scoring& scoring = {.scale = 0.3}) {
  const int64_t T = cu.back();
  at::Tensor q = random_tensor({T, heads, head_dim}, type, 1).set_requires_grad(true);
  at::Tensor k = random_tensor({T, kv_heads, head_dim}, type, 2).set_requires_grad(true);
  at::Tensor v = random_tensor({T, kv_heads, head_dim}, type, 3).set_requires_grad(true);
  const at::Tensor y = attend(q, k, v, cu, scoring);
  y.backward(random_tensor({T, heads, head_dim}, type, 4));
  return {y, q.grad(), k.grad(), v.grad()};
}

TEST(Attention, FindsItsMatrixProduct) { EXPECT_TRUE(has_cpu_attention()); }

TEST(Attention, EqualsProductsAndSoftmax) {
  int compared = 0;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const auto& [heads, kv_heads, head_dim] :
         std::vector<std::array<int64_t, 3>>{{4, 4, 16}, {6, 2, 12}, {3, 1, 80}}) {
      for (const std::vector<int64_t>& cu :
           {std::vector<int64_t>{0, 7}, {0, 1, 1, 40, 200}, {0, 65, 70}, {0, 333}}) {
        const auto got = run(attention, type, heads, kv_heads, head_dim, cu);
        const auto expected = run(plain_attention, type, heads, kv_heads, head_dim, cu);
        for (int i = 0; i < 4; ++i) {
          EXPECT_LT(difference(got[i], expected[i]), tolerance(type))
              << "value " << i << " heads " << heads;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 3 * 3 * 4 * 4);
}

TEST(Attention, EqualsProductsAndSoftmaxWithAWindowAndASoftCap) {
  int compared = 0;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const Scoring& scoring :
         {Scoring{0.3, 2, 0}, Scoring{0.3, 8, 0}, Scoring{0.3, 70, 0}, Scoring{0.3, 1000, 0},
          Scoring{0.3, 0, 2}, Scoring{0.3, 64, 2}}) {
      for (const std::vector<int64_t>& cu : {std::vector<int64_t>{0, 1, 1, 40, 200}, {0, 333}}) {
        const auto got = run(attention, type, 6, 2, 12, cu, scoring);
        const auto expected = run(plain_attention, type, 6, 2, 12, cu, scoring);
        for (int i = 0; i < 4; ++i) {
          EXPECT_LT(difference(got[i], expected[i]), tolerance(type))
              << "value " << i << " window " << scoring.window << " cap " << scoring.softcap;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 3 * 6 * 2 * 4);
}

// Worked by hand: values count the tokens, equal scores average what is seen.
TEST(Attention, ATokenSeesItselfAndTheWindowBeforeIt) {
  const at::Tensor q = at::zeros({6, 1, 2}), v = at::arange(6, at::kFloat).view({6, 1, 1});
  const at::Tensor y = attention(q, q, v.expand({6, 1, 2}), {0, 6}, {.scale = 1, .window = 3});
  EXPECT_LT(difference(y.select(2, 0).flatten(), at::tensor({0.0, 0.5, 1.0, 2.0, 3.0, 4.0})), 1e-6);
}

TEST(Attention, DocumentsTogetherEqualDocumentsApart) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto together = run(attention, type, 4, 2, 12, {0, 9, 30});
    const at::Tensor q = random_tensor({30, 4, 12}, type, 1),
                     k = random_tensor({30, 2, 12}, type, 2),
                     v = random_tensor({30, 2, 12}, type, 3);
    for (const auto& [begin, end] : std::vector<std::pair<int64_t, int64_t>>{{0, 9}, {9, 30}}) {
      const at::Tensor alone = attention(q.slice(0, begin, end), k.slice(0, begin, end),
                                         v.slice(0, begin, end), {0, end - begin}, {.scale = 0.3});
      EXPECT_TRUE(same_bits(together[0].slice(0, begin, end), alone));
    }
  }
}

TEST(Attention, GivesTheSameBitsWithOneAndTwoThreads) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::set_num_threads(1);
    const auto one = run(attention, type, 6, 2, 48, {0, 100, 333});
    at::set_num_threads(2);
    const auto two = run(attention, type, 6, 2, 48, {0, 100, 333});
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(same_bits(one[i], two[i])) << i;
  }
}

TEST(Attention, TakesNoTokens) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const at::Tensor& value : run(attention, type, 4, 2, 12, {0})) EXPECT_EQ(value.numel(), 0);
  }
}

TEST(Attention, OverThePastEqualsTheEndOfTheWhole) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor q = random_tensor({30, 4, 80}, type, 1),
                     k = random_tensor({30, 2, 80}, type, 2),
                     v = random_tensor({30, 2, 80}, type, 3);
    const at::Tensor whole = attention(q, k, v, {0, 30}, {.scale = 0.3});
    for (const int64_t begin : {0, 17, 29}) {
      const at::Tensor end = attention_over_past(q.slice(0, begin), k, v, {.scale = 0.3});
      EXPECT_LT(difference(end, whole.slice(0, begin)), tolerance(type)) << begin;
    }
  }
}

}  // namespace
}  // namespace lathe

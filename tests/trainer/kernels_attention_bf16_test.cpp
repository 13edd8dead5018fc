#include "data/loader/batch.h"
#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/attention.h"

namespace lathe {
namespace {

// Three documents with one beginning of 70 tokens, one alone, two that begin with 3 tokens; the
// same laid whole, for which the gradients of a beginning are the sums over its copies.
TEST(AttentionToShared, IsThatOfDocumentsLaidWhole) {
  const std::vector<int64_t> cu{0, 100, 110, 190, 197, 210, 211}, shared{0, 70, 70, 0, 0, 3};
  std::vector<int64_t> rows, own, whole_cu{0};
  for_each_run(cu, shared, [&](int64_t from, int64_t, int64_t count, bool again) {
    for (int64_t i = 0; i < count; ++i) {
      if (!again) own.push_back(std::ssize(rows));
      rows.push_back(from + i);
    }
    if (!again) whole_cu.push_back(std::ssize(rows));
  });
  const at::Tensor rows_W = at::tensor(rows), own_T = at::tensor(own);
  int compared = 0;
  for (const auto& [heads, kv_heads, width] :
       std::vector<std::array<int64_t, 3>>{{4, 4, 64}, {6, 2, 12}, {3, 1, 80}}) {
    for (const Scoring& scoring : {Scoring{0.3, 0, 0}, Scoring{0.3, 66, 0}, Scoring{0.3, 5, 2}}) {
      const auto leaf = [](const at::Tensor& x) { return x.detach().set_requires_grad(true); };
      const at::Tensor q = leaf(random_tensor({211, heads, width}, at::kBFloat16, 1)),
                       k = leaf(random_tensor({211, kv_heads, width}, at::kBFloat16, 2)),
                       v = leaf(random_tensor({211, kv_heads, width}, at::kBFloat16, 3)),
                       dy = random_tensor({211, heads, width}, at::kBFloat16, 4);
      if (!can_attend_shared(q)) GTEST_SKIP() << "NOT RUN: needs AVX512_BF16";
      const at::Tensor y = attention_to_shared(q, k, v, cu, shared, scoring);
      y.backward(dy);
      std::vector<at::Tensor> wide;
      for (const at::Tensor& x : {q, k, v}) wide.push_back(leaf(x.to(at::kDouble)));
      const auto laid = [&](const at::Tensor& x) { return x.index_select(0, rows_W); };
      const at::Tensor alone = attention(laid(q), laid(k), laid(v), whole_cu, scoring);
      EXPECT_TRUE(same_bits(y, alone.index_select(0, own_T)));
      plain_attention(laid(wide[0]), laid(wide[1]), laid(wide[2]), whole_cu, scoring)
          .index_select(0, own_T)
          .backward(dy.to(at::kDouble));
      EXPECT_LT(difference(q.grad(), wide[0].grad()), tolerance(at::kBFloat16));
      EXPECT_LT(difference(k.grad(), wide[1].grad()), tolerance(at::kBFloat16));
      EXPECT_LT(difference(v.grad(), wide[2].grad()), tolerance(at::kBFloat16));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 9);
}

TEST(AttentionToShared, IsRefusedWhereDocumentsAreLaidWhole) {
  const at::Tensor x = random_tensor({5, 1, 4}, at::kFloat, 1);
  EXPECT_FALSE(can_attend_shared(x));
  EXPECT_THROW(attention_to_shared(x, x, x, {0, 3, 5}, {0, 2}, {.scale = 1}), std::logic_error);
}

}  // namespace
}  // namespace lathe

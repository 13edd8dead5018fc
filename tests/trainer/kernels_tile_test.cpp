#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/product.h"
#include "trainer/kernels/tile_product.h"

namespace lathe {
namespace {

template <typename T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

template <typename X, typename W>
at::Tensor run(TileProduct<X, W> product, const at::Tensor& x_TI, const at::Tensor& w_OI) {
  at::Tensor y_TO = at::full({x_TI.size(0), w_OI.size(0)}, 7.0f);
  product(data<float>(y_TO), data<X>(x_TI), data<W>(w_OI),
          {x_TI.size(0), w_OI.size(0), x_TI.size(1), x_TI.size(1), w_OI.size(0)});
  return y_TO;
}

template <typename X, typename W>
void check(TileProduct<X, W> product, at::ScalarType x_type, at::ScalarType w_type) {
  int compared = 0;
  // Short rows, whole vectors, parts of them, and widths that are summed in two and three parts.
  for (const auto& [outputs, width] : {std::pair{9, 70},
                                       {4, 64},
                                       {3, 5},
                                       {37, 90},
                                       {33, 1376},
                                       {18, 1024},
                                       {6, 2055},
                                       {7, 4100}}) {
    const at::Tensor x = random_tensor({130, width}, x_type, 1),
                     w = random_tensor({outputs, width}, w_type, 2);
    const at::Tensor whole = run(product, x, w),
                     expected = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
    EXPECT_LT(difference(whole, expected), 2e-5) << outputs << " " << width;
    // In any company.
    for (const auto& [begin, end] : {std::pair{0, 1}, {3, 5}, {60, 67}, {1, 130}, {129, 130}}) {
      EXPECT_TRUE(same_bits(run(product, x.slice(0, begin, end), w), whole.slice(0, begin, end)))
          << begin << " " << width;
      ++compared;
    }
    for (int64_t tokens = 1; tokens <= 65; ++tokens, ++compared) {
      EXPECT_TRUE(same_bits(run(product, x.slice(0, 0, tokens), w), whole.slice(0, 0, tokens)))
          << tokens << " " << width;
    }
    const at::Tensor last = w.slice(0, outputs - 2).contiguous();
    EXPECT_TRUE(same_bits(run(product, x, last), whole.slice(1, outputs - 2))) << width;
  }
  EXPECT_EQ(compared, 8 * (5 + 65));
}

TEST(TileProduct, IsTheProductWithTheSameBitsInAnyCompany) {
  if (float_tiles() == nullptr) GTEST_SKIP() << "NOT RUN: needs AVX512";
  check(float_tiles(), at::kFloat, at::kFloat);
  check(widening_tiles(), at::kFloat, at::kBFloat16);
  if (bf16_tiles() != nullptr) check(bf16_tiles(), at::kBFloat16, at::kBFloat16);
}

TEST(TileProduct, MakesSeveralProductsOfOneInput) {
  if (float_tiles() == nullptr) GTEST_SKIP() << "NOT RUN: needs AVX512";
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = random_tensor({5, 96}, type, 1);
    const std::vector<at::Tensor> weights{random_tensor({130, 96}, type, 2),
                                          random_tensor({7, 96}, type, 3),
                                          random_tensor({64, 96}, type, 4)};
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      const std::vector<at::Tensor> together = products(x, weights);
      for (size_t i = 0; i < weights.size(); ++i) {
        EXPECT_EQ(together[i].scalar_type(), type);
        EXPECT_TRUE(same_bits(together[i], product(x, weights[i]))) << i;
        const at::Tensor expected = at::mm(x.to(at::kDouble), weights[i].to(at::kDouble).t());
        EXPECT_LT(difference(together[i], expected), tolerance(type));
      }
    }
  }
}

}  // namespace
}  // namespace lathe

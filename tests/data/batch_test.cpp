#include "data/loader/batch.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

template <typename T>
std::vector<T> values(const at::Tensor& tensor) {
  const T* begin = tensor.const_data_ptr<T>();
  return {begin, begin + tensor.numel()};
}

TEST(Batch, LaysDocumentsEndToEnd) {
  const std::vector<int64_t> a{5, 6, 7}, b{8, 9};
  const std::vector<uint8_t> mask{1, 0, 1};
  const Batch batch =
      make_batch({{a.data(), mask.data(), 3}, {a.data(), nullptr, 0}, {b.data(), nullptr, 2}});
  EXPECT_EQ(values<int64_t>(batch.tokens), (std::vector<int64_t>{5, 6, 7, 8, 9}));
  EXPECT_EQ(values<int64_t>(batch.targets),
            (std::vector<int64_t>{kIgnore, 7, kIgnore, 9, kIgnore}));
  EXPECT_EQ(values<float>(batch.weights), (std::vector<float>{0, 1, 0, 1, 0}));
  EXPECT_EQ(values<int64_t>(batch.positions), (std::vector<int64_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(batch.cu_seqlens, (std::vector<int64_t>{0, 3, 5}));
  EXPECT_EQ(batch.num_targets, 2);
  EXPECT_EQ(batch.num_tokens(), 5);
}

TEST(Batch, MayBeEmpty) {
  const Batch batch = make_batch({});
  EXPECT_EQ(batch.num_tokens(), 0);
  EXPECT_EQ(batch.cu_seqlens, (std::vector<int64_t>{0}));
  EXPECT_EQ(batch.num_targets, 0);
  EXPECT_EQ(batch.to(at::kCPU).tokens.dtype(), at::kLong);
}

}  // namespace
}  // namespace lathe

#include "data/loader/batch.h"

#include <gtest/gtest.h>

#include <array>

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

TEST(Batch, ADocumentMayGoOnBehindTheBeginningOfAnother) {
  const std::vector<int64_t> a{5, 6, 7, 8}, b{5, 6, 7, 9, 4};
  const std::vector<uint8_t> mask{0, 0, 0, 1, 1};
  const DocumentView whole{a.data(), mask.data(), 4};
  DocumentView next{b.data(), mask.data(), 5};
  next.shared = shared_beginning(whole, next);
  const Batch batch = make_batch({whole, next, whole});
  EXPECT_EQ(values<int64_t>(batch.tokens), (std::vector<int64_t>{5, 6, 7, 8, 7, 9, 4, 5, 6, 7, 8}));
  EXPECT_EQ(values<int64_t>(batch.targets),
            (std::vector<int64_t>{kIgnore, kIgnore, 8, kIgnore, 9, 4, kIgnore, kIgnore, kIgnore, 8,
                                  kIgnore}));
  EXPECT_EQ(values<int64_t>(batch.positions),
            (std::vector<int64_t>{0, 1, 2, 3, 2, 3, 4, 0, 1, 2, 3}));
  EXPECT_EQ(batch.cu_seqlens, (std::vector<int64_t>{0, 4, 7, 11}));
  EXPECT_EQ(batch.shared, (std::vector<int64_t>{0, 2, 0}));
  EXPECT_EQ(batch.num_targets, 4);
  EXPECT_EQ(make_batch({whole, whole}).shared, (std::vector<int64_t>{}));
  std::vector<std::array<int64_t, 4>> runs;
  const int64_t tokens = for_each_run(batch.cu_seqlens, batch.shared,
                                      [&](int64_t from, int64_t to, int64_t count, bool again) {
                                        runs.push_back({from, to, count, again});
                                      });
  EXPECT_EQ(tokens, 13);
  EXPECT_EQ(runs, (std::vector<std::array<int64_t, 4>>{
                      {0, 0, 4, 0}, {0, 4, 2, 1}, {4, 6, 3, 0}, {7, 9, 4, 0}}));
}

TEST(Batch, WhatIsTrainedOnIsNotShared) {
  const std::vector<int64_t> a{5, 6, 7, 8}, other{4, 6, 7, 8};
  const auto shared = [](const std::vector<int64_t>& first, const std::vector<int64_t>& next,
                         const std::vector<uint8_t>& trained) {
    return shared_beginning({first.data(), nullptr, std::ssize(first)},
                            {next.data(), trained.data(), std::ssize(next)});
  };
  EXPECT_EQ(shared(a, a, {0, 0, 0, 1}), 2);
  EXPECT_EQ(shared(a, a, {0, 0, 0, 0}), 3);  // never all of it
  EXPECT_EQ(shared(a, a, {1, 0, 1, 0}), 1);  // nothing predicts the first
  EXPECT_EQ(shared(a, a, {0, 1, 0, 0}), 0);
  EXPECT_EQ(shared(a, {5, 6, 1, 1}, {0, 0, 0, 1}), 2);
  EXPECT_EQ(shared(a, {5, 1, 1, 1}, {0, 0, 0, 1}), 1);
  EXPECT_EQ(shared(a, other, {0, 0, 0, 1}), 0);
  EXPECT_EQ(shared({5}, a, {0, 0, 0, 1}), 1);
  EXPECT_EQ(shared(a, {5}, {0}), 0);
  EXPECT_EQ(shared(a, {}, {}), 0);
  EXPECT_EQ(shared({}, a, {0, 0, 0, 1}), 0);
  EXPECT_EQ(shared_beginning({a.data(), nullptr, 4}, {a.data(), nullptr, 4}), 0);
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

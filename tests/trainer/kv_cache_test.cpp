#include "trainer/kv_cache.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

KvCache cache_of(KvPool& pool, int64_t capacity = 1000) {
  KvCache cache;
  cache.capacity = capacity;
  cache.pool = &pool;
  return cache;
}

TEST(KvCache, TakesBlocksAsTokensComeAndGivesThemBack) {
  KvPool pool({1, 2, 1, kKvBlock, 2}, at::kFloat);
  {
    KvCache cache = cache_of(pool);
    cache.make_room(1);
    EXPECT_EQ(pool.num_in_use(), 1);
    cache.length = kKvBlock - 1;
    cache.make_room(1);
    EXPECT_EQ(pool.num_in_use(), 1);
    cache.make_room(2);
    EXPECT_EQ(pool.num_in_use(), 2);
    cache.length = 3;
    cache.make_room(0);
    EXPECT_EQ(pool.num_in_use(), 1) << "what is forgotten is given back";
    cache.forget();
    EXPECT_EQ(pool.num_in_use(), 0);
    cache.make_room(10 * kKvBlock);
    EXPECT_EQ(pool.num_in_use(), 10);
  }
  EXPECT_EQ(pool.num_in_use(), 0);
}

TEST(KvCache, ACopyWritesToNoBlockOfTheOther) {
  KvPool pool({1, 2, 1, kKvBlock, 2}, at::kFloat);
  KvCache cache = cache_of(pool);
  cache.make_room(kKvBlock + 5);
  for (const at::Tensor& block : cache.blocks) block.fill_(1);
  cache.length = kKvBlock + 5;
  KvCache copy = cache;
  EXPECT_EQ(pool.num_in_use(), 2);
  copy.make_room(1);
  EXPECT_EQ(pool.num_in_use(), 3) << "the last block alone is copied";
  EXPECT_EQ(copy.blocks[0].data_ptr(), cache.blocks[0].data_ptr());
  EXPECT_TRUE(at::equal(copy.blocks[1], cache.blocks[1]));
  copy.blocks[1].fill_(2);
  EXPECT_EQ(cache.blocks[1].max().item<float>(), 1);
  void* own = cache.blocks[1].data_ptr();
  cache.make_room(1);
  EXPECT_EQ(cache.blocks[1].data_ptr(), own) << "nobody else holds it any longer";
}

TEST(KvCache, RefusesWhatItCannotHold) {
  KvPool pool({1, 2, 1, kKvBlock, 2}, at::kFloat);
  KvCache cache = cache_of(pool, 40);
  cache.make_room(40);
  EXPECT_THROW(cache.make_room(41), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

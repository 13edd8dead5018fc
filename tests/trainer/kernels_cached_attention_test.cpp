#include "trainer/kernels/cached_attention.h"

#include "tests/trainer/kernel_check.h"
#include "trainer/kernels/attention.h"
#include "trainer/kernels/tile_product.h"

namespace lathe {
namespace {

constexpr int64_t kLayers = 2, kLayer = 1, kBlock = 8;

// A sequence whose queries, keys and values are known from the start.
struct Sequence {
  at::Tensor q, k, v;
  std::vector<at::Tensor> blocks = {};

  Sequence(int64_t length, int64_t heads, int64_t kv_heads, int64_t width, at::ScalarType type,
           uint64_t seed)
      : q(random_tensor({length, heads, width}, type, seed)),
        k(random_tensor({length, kv_heads, width}, type, seed + 1)),
        v(random_tensor({length, kv_heads, width}, type, seed + 2)) {
    for (int64_t at = 0; at < length; at += kBlock) {
      blocks.push_back(at::full({kLayers, 2, kv_heads, kBlock, width}, NAN, q.options()));
    }
  }
};

// Tokens [begin, end) of each, which hold the tokens before.
at::Tensor attend(const std::vector<Sequence*>& sequences,
                  const std::vector<std::pair<int64_t, int64_t>>& pieces, const Scoring& scoring) {
  std::vector<at::Tensor> q, k, v;
  std::vector<int64_t> cu{0};
  std::vector<CachedKeys> past;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto [begin, end] = pieces[i];
    q.push_back(sequences[i]->q.slice(0, begin, end));
    k.push_back(sequences[i]->k.slice(0, begin, end));
    v.push_back(sequences[i]->v.slice(0, begin, end));
    cu.push_back(cu.back() + end - begin);
    past.push_back({sequences[i]->blocks, begin});
  }
  return cached_attention(at::cat(q), at::cat(k), at::cat(v), cu, past, kLayer, scoring);
}

const std::vector<Scoring> kScorings{
    {0.3, 0, 0}, {0.3, 5, 0}, {0.3, 40, 0}, {0.3, 0, 2}, {0.3, 21, 2}};

TEST(CachedAttention, InPiecesEqualsTheWholeWithoutACache) {
  at::set_num_threads(1);  // on sequences so short a second one only waits
  int compared = 0;
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const auto& [heads, kv_heads, width] :
         std::vector<std::array<int64_t, 3>>{{4, 4, 16}, {6, 2, 12}, {3, 1, 80}}) {
      for (const Scoring& scoring : kScorings) {
        for (const std::vector<int64_t>& ends :
             {std::vector<int64_t>{90}, {1, 2, 8, 9, 47, 90}, {70, 71, 90}}) {
          Sequence s(90, heads, kv_heads, width, type, 1);
          std::vector<at::Tensor> parts;
          int64_t begin = 0;
          for (const int64_t end : ends) {
            parts.push_back(attend({&s}, {{begin, end}}, scoring));
            begin = end;
          }
          const at::Tensor whole = plain_attention(s.q, s.k, s.v, {0, 90}, scoring);
          EXPECT_LT(difference(at::cat(parts), whole), tolerance(type))
              << "heads " << heads << " window " << scoring.window << " cap " << scoring.softcap;
          ++compared;
        }
      }
    }
  }
  EXPECT_EQ(compared, 3 * 3 * 5 * 3);
}

TEST(CachedAttention, SequencesTogetherEqualEachAlone) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Scoring& scoring : kScorings) {
      Sequence a(60, 6, 2, 64, type, 1), b(33, 6, 2, 64, type, 5), c(9, 6, 2, 64, type, 9);
      const auto from = [&](Sequence& s, int64_t begin, int64_t end) {
        return attend({&s}, {{begin, end}}, scoring);
      };
      const at::Tensor both = attend({&a, &b, &c}, {{0, 59}, {0, 13}, {0, 0}}, scoring);
      const at::Tensor more = attend({&a, &b, &c}, {{59, 60}, {13, 33}, {0, 9}}, scoring);
      EXPECT_TRUE(same_bits(both, at::cat({from(a, 0, 59), from(b, 0, 13)})));
      EXPECT_TRUE(same_bits(more, at::cat({from(a, 59, 60), from(b, 13, 33), from(c, 0, 9)})));
    }
  }
}

TEST(CachedAttention, GivesTheSameBitsWithOneAndTwoThreads) {
  Sequence s(90, 6, 2, 64, at::kFloat, 1);
  at::set_num_threads(1);
  const at::Tensor one = attend({&s}, {{0, 90}}, {.scale = 0.3});
  at::set_num_threads(2);
  EXPECT_TRUE(same_bits(one, attend({&s}, {{0, 90}}, {.scale = 0.3})));
}

}  // namespace
}  // namespace lathe

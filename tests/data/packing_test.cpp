#include "data/loader/packing.h"

#include <gtest/gtest.h>

#include <cmath>

#include "data/loader/order.h"

namespace lathe {
namespace {

std::vector<int64_t> random_lengths(int64_t n, int64_t most, uint64_t seed) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < n; ++i)
    lengths.push_back(static_cast<int64_t>(mix_bits(seed * 1000003 + i) % (most + 1)));
  return lengths;
}

// Each token of each document is in exactly one row, no row is too long, none is empty.
void expect_whole(const PackingPlan& plan, const std::vector<int64_t>& lengths,
                  int64_t max_length) {
  std::vector<std::vector<int>> seen;
  for (const int64_t length : lengths) seen.emplace_back(length, 0);
  for (int64_t r = 0; r < plan.rows(); ++r) {
    int64_t size = 0;
    for (const Piece& piece : plan.row(r)) {
      ASSERT_GT(piece.length, 0);
      size += piece.length;
      for (int64_t t = piece.begin; t < piece.begin + piece.length; ++t)
        ++seen.at(piece.document).at(t);
    }
    ASSERT_GT(size, 0);
    ASSERT_LE(size, max_length);
  }
  for (const auto& document : seen) {
    for (const int times : document) ASSERT_EQ(times, 1);
  }
}

TEST(Packing, HoldsEveryTokenOnceAndNoRowTooLong) {
  for (const Packing packing : {Packing::kOff, Packing::kBestFit, Packing::kWrapped}) {
    for (uint64_t seed = 0; seed < 30; ++seed) {
      for (const int64_t max_length : {1, 7, 64, 100}) {
        const auto lengths = random_lengths(static_cast<int64_t>(seed) * 3, 150, seed);
        expect_whole(plan_packing(lengths, max_length, packing), lengths, max_length);
      }
    }
  }
}

TEST(Packing, BestFitTakesTheFullestRowThatFits) {
  const PackingPlan plan = plan_packing(std::vector<int64_t>{3, 6, 8, 4, 2}, 10, Packing::kBestFit);
  // 8 | 6 | 4 goes to 6 | 3 opens a row, since 8 leaves 2 | 2 goes to 8. Rows come by their first
  // document.
  ASSERT_EQ(plan.rows(), 3);
  EXPECT_EQ(std::vector(plan.row(0).begin(), plan.row(0).end()), (std::vector<Piece>{{0, 0, 3}}));
  EXPECT_EQ(std::vector(plan.row(1).begin(), plan.row(1).end()),
            (std::vector<Piece>{{1, 0, 6}, {3, 0, 4}}));
  EXPECT_EQ(std::vector(plan.row(2).begin(), plan.row(2).end()),
            (std::vector<Piece>{{2, 0, 8}, {4, 0, 2}}));
}

TEST(Packing, WrappedFillsEveryRowButTheLast) {
  const auto lengths = random_lengths(100, 90, 5);
  int64_t tokens = 0;
  for (const int64_t length : lengths) tokens += length;
  EXPECT_EQ(plan_packing(lengths, 64, Packing::kWrapped).rows(), (tokens + 63) / 64);
}

TEST(Packing, OffGivesEachDocumentItsRow) {
  const PackingPlan plan = plan_packing(std::vector<int64_t>{5, 0, 12}, 10, Packing::kOff);
  EXPECT_EQ(plan.pieces, (std::vector<Piece>{{0, 0, 5}, {2, 0, 10}, {2, 10, 2}}));
  EXPECT_EQ(plan.rows(), 3);
}

TEST(Packing, BestFitWastesLessThanOnePercent) {
  // Log-normal lengths of mean 182 as GSM8K has; real ones are in the test of prepare.
  std::vector<int64_t> lengths;
  int64_t tokens = 0;
  for (uint64_t i = 0; i < 7473; ++i) {
    const auto uniform = [&](uint64_t k) {
      return (static_cast<double>(mix_bits(i * 2 + k) >> 11) + 0.5) / 9007199254740992.0;
    };
    const double normal =
        std::sqrt(-2 * std::log(uniform(0))) * std::cos(6.283185307179586 * uniform(1));
    lengths.push_back(static_cast<int64_t>(std::exp(5.1 + 0.45 * normal)) + 1);
    tokens += lengths.back();
  }
  const PackingPlan plan = plan_packing(lengths, 2048, Packing::kBestFit);
  EXPECT_LT(1 - static_cast<double>(tokens) / static_cast<double>(plan.rows() * 2048), 0.01);
}

TEST(Packing, RefusesRowsOfNoTokens) {
  EXPECT_THROW(plan_packing(std::vector<int64_t>{1}, 0, Packing::kOff), std::invalid_argument);
}

}  // namespace
}  // namespace lathe

#include "trainer/generate/peaks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "trainer/philox.h"

namespace lathe {
namespace {

// Half of the draws fall on few numbers, so that many tie.
std::vector<float> some_logits(size_t count, uint64_t seed) {
  std::vector<float> logits;
  for (size_t i = 0; i < count; ++i) {
    const auto bits = philox(seed, i, 1);
    logits.push_back(bits[0] % 2 == 0 ? static_cast<float>(bits[1] % 7)
                                      : static_cast<float>(bits[1]) * 0x1p-29f);
  }
  return logits;
}

TEST(Peaks, FindWhatSortingFinds) {
  int compared = 0;
  for (const size_t count : {1u, 5u, 64u, 65u, 1000u, 32000u}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const std::vector<float> logits = some_logits(count, seed);
      const Peaks peaks(logits);
      const auto best = std::max_element(logits.begin(), logits.end());
      EXPECT_EQ(peaks.best(), *best);
      EXPECT_EQ(peaks.argmax(), best - logits.begin());
      std::vector<float> sorted = logits;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (const size_t k : {size_t{1}, size_t{2}, size_t{50}, count / 2, count}) {
        if (k < 1 || k > count) continue;
        for (const float temperature : {0.7f, 1.0f, 1e6f}) {
          std::vector<int64_t> expected;
          for (size_t id = 0; id < count; ++id) {
            if (logits[id] / temperature >= sorted[k - 1] / temperature)
              expected.push_back(static_cast<int64_t>(id));
          }
          EXPECT_EQ(peaks.top(static_cast<int64_t>(k), temperature), expected) << count << " " << k;
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 300);
}

TEST(Peaks, TellNaNWhereverItIs) {
  for (const size_t count : {1u, 70u, 200u}) {
    for (size_t place = 0; place < count; place += 23) {
      std::vector<float> logits(count, 1);
      logits[place] = NAN;
      EXPECT_TRUE(std::isnan(Peaks(logits).best())) << place;
    }
  }
  EXPECT_EQ(Peaks(std::vector<float>{-INFINITY, -INFINITY}).best(), -INFINITY);
}

}  // namespace
}  // namespace lathe

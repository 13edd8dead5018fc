#include "trainer/generate/peaks.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "trainer/kernels/rows.h"

namespace lathe {
namespace {

constexpr size_t kStretch = 64;

}  // namespace

Peaks::Peaks(std::span<const float> logits)
    : logits_(logits), peaks_((logits.size() + kStretch - 1) / kStretch), best_(-INFINITY) {
  row_kernels<float>().peaks(peaks_.data(), logits.data(), std::ssize(logits), kStretch);
  for (const float peak : peaks_) {
    if (!(peak <= best_)) best_ = peak;  // NaN stays
    if (std::isnan(best_)) return;
  }
}

std::span<const float> Peaks::stretch(size_t i) const {
  const size_t begin = i * kStretch;
  return logits_.subspan(begin, std::min(kStretch, logits_.size() - begin));
}

int64_t Peaks::argmax() const {
  const auto peak = std::find(peaks_.begin(), peaks_.end(), best_) - peaks_.begin();
  const std::span<const float> where = stretch(static_cast<size_t>(peak));
  return peak * static_cast<int64_t>(kStretch) +
         (std::find(where.begin(), where.end(), best_) - where.begin());
}

// k stretches have a number of at least the k-th largest peak, so the k-th largest of all is no
// less.
float Peaks::kth_largest(int64_t k) const {
  float bound = -INFINITY;
  if (k <= std::ssize(peaks_)) {
    std::vector<float> sorted = peaks_;
    std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
    bound = sorted[static_cast<size_t>(k - 1)];
  }
  std::vector<float> large;
  for (size_t i = 0; i < peaks_.size(); ++i) {
    if (peaks_[i] < bound) continue;
    for (const float logit : stretch(i)) {
      if (logit >= bound) large.push_back(logit);
    }
  }
  std::nth_element(large.begin(), large.begin() + (k - 1), large.end(), std::greater<>());
  return large[static_cast<size_t>(k - 1)];
}

std::vector<int64_t> Peaks::top(int64_t k, float temperature) const {
  const float least = kth_largest(k) / temperature;
  std::vector<int64_t> ids;
  for (size_t i = 0; i < peaks_.size(); ++i) {
    if (peaks_[i] / temperature < least) continue;
    int64_t id = static_cast<int64_t>(i * kStretch);
    for (const float logit : stretch(i)) {
      if (logit / temperature >= least) ids.push_back(id);
      ++id;
    }
  }
  return ids;
}

}  // namespace lathe

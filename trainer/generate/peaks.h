#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lathe {

// The largest number of each stretch of a row of logits: by them few stretches of a large
// vocabulary need a second look. The logits outlive it.
class Peaks {
 public:
  explicit Peaks(std::span<const float> logits);

  // The largest of all; NaN where any of the logits is.
  float best() const { return best_; }
  // The first of the largest.
  int64_t argmax() const;
  // Ids, ascending, of all that are at least the k-th largest once each is divided by
  // `temperature`; k from 1 to as many as there are.
  std::vector<int64_t> top(int64_t k, float temperature) const;

 private:
  float kth_largest(int64_t k) const;
  std::span<const float> stretch(size_t i) const;

  std::span<const float> logits_;
  std::vector<float> peaks_;
  float best_;
};

}  // namespace lathe

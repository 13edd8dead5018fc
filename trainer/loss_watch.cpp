#include "trainer/loss_watch.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lathe {
namespace {

constexpr size_t kFewest = 20, kMost = 200;
constexpr double kDeviations = 6;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::optional<LossWatch::Spike> LossWatch::see(double loss) {
  std::optional<Spike> spike;
  if (losses_.size() >= kFewest) {
    const double usual = median({losses_.begin(), losses_.end()});
    std::vector<double> deviations;
    for (const double each : losses_) deviations.push_back(std::abs(each - usual));
    // A run that hardly moves is not full of spikes.
    const double deviation = std::max(median(std::move(deviations)), 0.01 * std::abs(usual));
    if (loss > usual + kDeviations * deviation) spike = {.usual = usual};
  }
  if (std::isfinite(loss)) losses_.push_back(loss);
  if (losses_.size() > kMost) losses_.pop_front();
  return spike;
}

}  // namespace lathe

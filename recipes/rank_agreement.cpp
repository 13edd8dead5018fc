#include "recipes/rank_agreement.h"

#include <cmath>

namespace lathe {
namespace {

int sign(double difference) { return (difference > 0) - (difference < 0); }

}  // namespace

std::optional<double> kendall_tau(const std::vector<double>& a, const std::vector<double>& b) {
  int64_t agreement = 0, told_a = 0, told_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int of_a = sign(a[i] - a[j]), of_b = sign(b[i] - b[j]);
      agreement += of_a * of_b;
      told_a += of_a != 0;
      told_b += of_b != 0;
    }
  }
  if (told_a == 0 || told_b == 0) return {};
  return static_cast<double>(agreement) /
         std::sqrt(static_cast<double>(told_a) * static_cast<double>(told_b));
}

}  // namespace lathe

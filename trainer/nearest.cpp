#include "trainer/nearest.h"

#include <algorithm>

namespace lathe {

int edit_distance(std::string_view a, std::string_view b) {
  // before[j], last[j], now[j]: distance of the first i-2, i-1, i letters of a from the first j of
  // b.
  std::vector<int> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) now[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, now);
    now[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int change = last[j - 1] + (a[i - 1] != b[j - 1]);
      now[j] = std::min({change, last[j] + 1, now[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
  }
  return now[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // A typed word may be a megabyte long: nothing is near it, and the table need not be filled to
  // know.
  constexpr size_t kLongest = 100;
  if (word.empty() || word.size() > kLongest) return "";
  std::string best;
  int best_distance = static_cast<int>(word.size() + 2) / 3 + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const int distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string best = nearest(word, candidates);
  return best.empty() ? "" : "; did you mean `" + best + "`?";
}

}  // namespace lathe

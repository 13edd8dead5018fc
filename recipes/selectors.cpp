#include "recipes/selectors.h"

#include <algorithm>

#include "data/loader/order.h"

namespace lathe {
namespace {

using Answers = std::vector<ScoredAnswer>;

std::vector<int64_t> scored(const Answers& answers, bool whole) {
  std::vector<int64_t> places;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].score && !(whole && answers[i].cut)) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

double score(const Answers& answers, int64_t i) { return *answers[static_cast<size_t>(i)].score; }
int64_t length(const Answers& answers, int64_t i) { return answers[static_cast<size_t>(i)].length; }

// The first of several that are as good.
template <typename Less>
int64_t least(const std::vector<int64_t>& places, const Less& less) {
  return *std::min_element(places.begin(), places.end(), less);
}

bool differ(const Answers& answers, ChosenPair pair, double margin) {
  const double gap = score(answers, pair.chosen) - score(answers, pair.rejected);
  return gap > 0 && gap >= margin;
}

// Meta-Rewarding (arXiv:2407.19594): of what is within rho of the range of the
// best the shortest, of what is within rho of the worst the longest. rho 0: the
// best and the worst.
ChosenPair extremes(const Answers& answers, const std::vector<int64_t>& good,
                    const std::vector<int64_t>& all, double rho) {
  const auto by_score = [&](int64_t a, int64_t b) { return score(answers, a) < score(answers, b); };
  const double high = score(answers, *std::max_element(good.begin(), good.end(), by_score)),
               low = score(answers, *std::min_element(all.begin(), all.end(), by_score));
  std::vector<int64_t> near_high, near_low;
  std::copy_if(good.begin(), good.end(), std::back_inserter(near_high),
               [&](int64_t i) { return score(answers, i) >= (1 - rho) * high + rho * low; });
  std::copy_if(all.begin(), all.end(), std::back_inserter(near_low),
               [&](int64_t i) { return score(answers, i) <= (1 - rho) * low + rho * high; });
  // Rounding may leave out the extreme itself.
  if (near_high.empty()) near_high = {*std::max_element(good.begin(), good.end(), by_score)};
  if (near_low.empty()) near_low = {*std::min_element(all.begin(), all.end(), by_score)};
  return {least(near_high,
                [&](int64_t a, int64_t b) { return length(answers, a) < length(answers, b); }),
          least(near_low,
                [&](int64_t a, int64_t b) { return length(answers, a) > length(answers, b); })};
}

std::vector<ChosenPair> correct_wrong(const Answers& answers, const std::vector<int64_t>& good,
                                      const std::vector<int64_t>& all, int64_t count,
                                      uint64_t seed) {
  std::vector<ChosenPair> every;
  for (const int64_t w : good) {
    for (const int64_t l : all) {
      if (score(answers, w) >= 1 && score(answers, l) < 1) every.push_back({w, l});
    }
  }
  const Permutation order(every.size(), seed, 0);
  std::vector<ChosenPair> pairs;
  for (uint64_t k = 0; k < every.size() && std::ssize(pairs) < count; ++k)
    pairs.push_back(every[order(k)]);
  return pairs;
}

std::vector<ChosenPair> pairs_of_any_length(const Answers& answers, const SelfRewardConfig& config,
                                            uint64_t seed) {
  const std::vector<int64_t> good = scored(answers, true), all = scored(answers, false);
  if (good.empty()) return {};
  if (config.selector == "correct_wrong")
    return correct_wrong(answers, good, all, config.pairs_per_prompt, seed);
  if (config.selector == "top_score") {
    const int64_t best =
        least(good, [&](int64_t a, int64_t b) { return score(answers, a) > score(answers, b); });
    if (config.scorer == "verifier" && score(answers, best) < 1) return {};
    return {{best, -1}};
  }
  ChosenPair pair;
  if (config.selector == "length_controlled") {
    pair = extremes(answers, good, all, config.length_control);
  } else {
    pair = {
        least(good, [&](int64_t a, int64_t b) { return score(answers, a) > score(answers, b); }),
        least(all, [&](int64_t a, int64_t b) { return score(answers, a) < score(answers, b); })};
  }
  if (pair.chosen == pair.rejected || !differ(answers, pair, config.min_margin)) return {};
  return {pair};
}

}  // namespace

std::vector<ChosenPair> select_pairs(const Answers& answers, const SelfRewardConfig& config,
                                     uint64_t seed) {
  std::vector<ChosenPair> pairs = pairs_of_any_length(answers, config, seed);
  if (config.max_chosen_length > 0) {
    std::erase_if(pairs, [&](const ChosenPair& pair) {
      return length(answers, pair.chosen) > config.max_chosen_length;
    });
  }
  return pairs;
}

}  // namespace lathe

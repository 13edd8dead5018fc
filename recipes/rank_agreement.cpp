#include "recipes/rank_agreement.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lathe {
namespace {

int sign(double difference) { return (difference > 0) - (difference < 0); }

// Places from 1 up; equal values share the mean of theirs.
std::vector<double> mean_places(const std::vector<double>& values) {
  std::vector<double> places;
  for (const double value : values) {
    double below = 0, equal = 0;
    for (const double other : values) {
      below += other < value;
      equal += other == value;
    }
    places.push_back(below + (equal + 1) / 2);
  }
  return places;
}

// What one prompt adds to the counts.
struct Counts {
  int64_t pairs = 0, right = 0, tied = 0;
};

Counts count_pairs(const RankedAnswers& answers) {
  Counts counts;
  for (size_t i = 0; i < answers.ranks.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int better = sign(answers.ranks[j] - answers.ranks[i]);  // 1: i is the better one
      if (better == 0) continue;
      ++counts.pairs;
      if (!answers.scores[i] || !answers.scores[j]) continue;
      const int found = sign(*answers.scores[i] - *answers.scores[j]);
      counts.right += found == better;
      counts.tied += found == 0;
    }
  }
  return counts;
}

// Those that have a score: how good people find them, and the judge.
std::pair<std::vector<double>, std::vector<double>> scored_only(const RankedAnswers& answers) {
  std::pair<std::vector<double>, std::vector<double>> both;
  for (size_t i = 0; i < answers.ranks.size(); ++i) {
    if (!answers.scores[i]) continue;
    both.first.push_back(-answers.ranks[i]);
    both.second.push_back(*answers.scores[i]);
  }
  return both;
}

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

std::optional<double> spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = mean_places(a), y = mean_places(b);
  const double middle = (static_cast<double>(a.size()) + 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - middle) * (y[i] - middle);
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
  }
  if (xx == 0 || yy == 0) return {};
  return xy / std::sqrt(xx * yy);
}

JudgeAgreement judge_agreement(const std::vector<RankedAnswers>& prompts,
                               std::optional<double> best_score) {
  JudgeAgreement result;
  Counts all;
  int64_t exact = 0, fives = 0, fives_best = 0;
  for (const RankedAnswers& answers : prompts) {
    const Counts counts = count_pairs(answers);
    if (counts.pairs == 0) continue;
    ++result.prompts;
    all.pairs += counts.pairs;
    all.right += counts.right;
    all.tied += counts.tied;
    exact += counts.right == counts.pairs;
    const double best = *std::min_element(answers.ranks.begin(), answers.ranks.end());
    for (size_t i = 0; i < answers.ranks.size(); ++i) {
      if (!best_score || answers.scores[i] != best_score) continue;
      ++fives;
      fives_best += answers.ranks[i] == best;
    }
    const auto [people, judge] = scored_only(answers);
    result.spearman += spearman(people, judge).value_or(0);
    result.kendall_tau += kendall_tau(people, judge).value_or(0);
  }
  if (result.prompts == 0) return result;
  const auto n = static_cast<double>(result.prompts), pairs = static_cast<double>(all.pairs);
  result.pairwise_accuracy = static_cast<double>(all.right) / pairs;
  result.tie_share = static_cast<double>(all.tied) / pairs;
  if (fives > 0) result.five_best = static_cast<double>(fives_best) / static_cast<double>(fives);
  result.exact_match = static_cast<double>(exact) / n;
  result.spearman /= n;
  result.kendall_tau /= n;
  return result;
}

}  // namespace lathe

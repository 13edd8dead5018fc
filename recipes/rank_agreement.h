#pragma once

#include <cstdint>
#include <optional>
#include <vector>

// How far two orders of the same answers agree.
namespace lathe {

// Kendall's tau-b: concordant less discordant pairs, over the geometric mean of the numbers of
// pairs that each side tells apart. Without ties, over all pairs. None where a side tells none
// apart.
std::optional<double> kendall_tau(const std::vector<double>& a, const std::vector<double>& b);

// Pearson's correlation of the ranks; what ties has the mean of its places. None where a side is
// all ties.
std::optional<double> spearman(const std::vector<double>& a, const std::vector<double>& b);

// Answers to one prompt, as people ranked them and as a judge scored them.
struct RankedAnswers {
  std::vector<double> ranks;                  // 1: the best; the same number: as good
  std::vector<std::optional<double>> scores;  // higher is better; none: could not be read
};

// A judge on held-out human rankings (arXiv:2401.10020, table 4).
struct JudgeAgreement {
  int64_t prompts = 0;  // with two answers that people tell apart; the others are left out
  // Of all pairs of a prompt's answers that people tell apart: those that the judge puts in the
  // same order. Scores that tie, or are missing, are wrong.
  double pairwise_accuracy = 0;
  double tie_share = 0;  // of these pairs, those whose scores tie
  // Of the answers with the highest score that there is (5 of 5): those that people rank best.
  std::optional<double> five_best;  // none where no answer has it
  // Of all prompts: those whose pairs are all in the same order.
  double exact_match = 0;
  // Means over prompts, of the answers that have a score. 0 for a prompt whose scores all tie: the
  // judge says nothing.
  double spearman = 0, kendall_tau = 0;
};

// best_score: the highest score that the judge can give; none: it has no scale.
JudgeAgreement judge_agreement(const std::vector<RankedAnswers>& prompts,
                               std::optional<double> best_score);

}  // namespace lathe

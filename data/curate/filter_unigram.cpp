#include "data/curate/filters.h"
#include "data/curate/unigrams.h"

// peS2o's, with datatrove's threshold.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"unigram_logprob", "mean log-probability of the words by how often each occurs; 0 where no "
                        "frequencies are given"}};

constexpr FilterRule kRules[] = {
    {"unigram_logprob", "unigram_logprob", FilterRule::kBelow, -10}};

void measure(const Measured& m, double* values) {
  const Unigrams* unigrams = m.resources.unigrams;
  values[0] = unigrams ? unigrams->mean_log_probability(m.split) : 0;
}

}  // namespace

Filter unigram_filter() {
  return {"unigram", 1, "rare words, by a list of frequencies (peS2o)", kSignals, kRules, measure};
}

}  // namespace lathe

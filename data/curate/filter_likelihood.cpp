#include <algorithm>
#include <cmath>

#include "data/curate/filters.h"
#include "data/curate/likelihood.h"

namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"mean_logprob", "mean log-probability of the tokens by the model of `likelihood`; 0 where "
                     "there is none"},
    {"perplexity", "exp(-mean_logprob)"}};

// Data-Juicer's, set there for an n-gram model over pieces of words.
constexpr FilterRule kRules[] = {{"high_perplexity", "perplexity", FilterRule::kAbove, 1500}};

constexpr double kMostPerplexity = 1e300;

// Documents are scored many at once, when the others are measured.
void measure(const Measured&, double* values) {
  values[0] = 0;
  values[1] = 1;
}

}  // namespace

void set_likelihood(const TextLikelihood& likelihood, double* signals) {
  static const size_t first = first_signal(filter_named("likelihood"));
  const double mean =
      likelihood.tokens == 0 ? 0 : likelihood.logprob / static_cast<double>(likelihood.tokens);
  signals[first] = mean;
  signals[first + 1] = std::min(std::exp(-mean), kMostPerplexity);
}

Filter likelihood_filter() {
  return {"likelihood", 1,      "how unlikely a language model of ours finds the text",
          kSignals,     kRules, measure};
}

}  // namespace lathe

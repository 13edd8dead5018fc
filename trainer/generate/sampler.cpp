#include "trainer/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "trainer/philox.h"

namespace lathe {
namespace {

// Every token of the prefix once, however often it occurs (Keskar et al. 2019, arXiv:1909.05858).
std::vector<float> penalised(std::span<const float> logits, double penalty,
                             std::span<const int64_t> prefix) {
  std::vector<float> scores(logits.begin(), logits.end());
  if (penalty == 1) return scores;
  const float factor = static_cast<float>(penalty);
  for (const int64_t id : prefix) {
    const float logit = logits[static_cast<size_t>(id)];
    scores[static_cast<size_t>(id)] = logit < 0 ? logit * factor : logit / factor;
  }
  return scores;
}

// The k-th largest score: what lies below it is dropped.
float top_k_cut(std::vector<float> scores, int64_t k) {
  const auto place = scores.begin() + (k - 1);
  std::nth_element(scores.begin(), place, scores.end(), std::greater<>());
  return *place;
}

// A heap, because nearly always a few tokens of a large vocabulary reach p.
void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
  double total = 0;
  for (const Candidate& c : candidates) total += c.probability;
  const auto less_probable = [](const Candidate& a, const Candidate& b) {
    return a.probability != b.probability ? a.probability < b.probability : a.id > b.id;
  };
  std::make_heap(candidates.begin(), candidates.end(), less_probable);
  auto end = candidates.end();
  double mass = 0;
  while (end != candidates.begin() && mass < top_p * total) {
    std::pop_heap(candidates.begin(), end, less_probable);
    mass += (--end)->probability;
  }
  candidates.erase(candidates.begin(), end);
}

size_t argmax(std::span<const float> scores) {
  const auto best = std::max_element(scores.begin(), scores.end());
  return static_cast<size_t>(best - scores.begin());
}

// Uniform in [0, 1) with 53 bits.
double uniform(uint64_t seed, int64_t step) {
  static constexpr std::string_view kStream = "generate";
  const auto bits = philox(seed, static_cast<uint64_t>(step), hash_name(kStream));
  return static_cast<double>((uint64_t{bits[0]} << 32 | bits[1]) >> 11) * 0x1p-53;
}

}  // namespace

void check_sampling(const SamplingOptions& o, const std::string& where) {
  const auto require = [&](bool good, const char* option, const char* expected) {
    if (!good) throw std::invalid_argument(where + ": " + option + " must be " + expected);
  };
  require(o.max_new_tokens >= 0, "max_new_tokens", "0 or more");
  require(std::isfinite(o.temperature) && o.temperature >= 0, "temperature", "0 (greedy) or more");
  require(o.top_k >= 0, "top_k", "0 (off) or more");
  require(o.top_p > 0 && o.top_p <= 1, "top_p", "above 0 and at most 1 (off)");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", "0 (off) to 1");
  require(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0, "repetition_penalty",
          "above 0; 1 is off");
}

std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options,
                                             std::span<const int64_t> prefix) {
  std::vector<float> scores = penalised(logits, options.repetition_penalty, prefix);
  for (float& score : scores) score /= static_cast<float>(options.temperature);
  const auto count = static_cast<int64_t>(scores.size());
  const bool cut = options.top_k > 0 && options.top_k < count;
  const float least = cut ? top_k_cut(scores, options.top_k) : -INFINITY;

  const float best = scores[argmax(scores)];
  std::vector<Candidate> candidates;
  for (int64_t id = 0; id < count; ++id) {
    const float score = scores[static_cast<size_t>(id)];
    if (score >= least) candidates.push_back({id, std::exp(double(score) - double(best))});
  }
  if (options.top_p < 1) keep_top_p(candidates, options.top_p);
  // The best one's number is 1 here, so that min_p is a bound on the number itself.
  std::erase_if(candidates, [&](const Candidate& c) { return c.probability < options.min_p; });
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  double total = 0;
  for (const Candidate& c : candidates) total += c.probability;
  for (Candidate& c : candidates) c.probability /= total;
  return candidates;
}

int64_t next_token(std::span<const float> logits, const SamplingOptions& options,
                   std::span<const int64_t> prefix, int64_t step) {
  const bool nan = std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); });
  if (nan || !std::isfinite(logits[argmax(logits)])) {
    throw std::runtime_error(
        "the model's logits are not finite; its weights or its input are broken");
  }
  if (options.temperature == 0) {
    if (options.repetition_penalty == 1) return static_cast<int64_t>(argmax(logits));
    return static_cast<int64_t>(argmax(penalised(logits, options.repetition_penalty, prefix)));
  }
  const std::vector<Candidate> candidates = sampling_distribution(logits, options, prefix);
  double left = uniform(options.seed, step);
  for (const Candidate& c : candidates) {
    left -= c.probability;
    if (left < 0) return c.id;
  }
  return candidates.back().id;  // the probabilities sum to 1 up to rounding
}

}  // namespace lathe

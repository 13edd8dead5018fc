#include "trainer/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "trainer/generate/peaks.h"
#include "trainer/kernels/rows.h"
#include "trainer/philox.h"

namespace lathe {
namespace {

// Every token of the prefix once, however often it occurs (Keskar et al. 2019, arXiv:1909.05858).
void penalise_repetition(std::vector<float>& scores, std::span<const float> logits, double penalty,
                         std::span<const int64_t> prefix) {
  if (penalty == 1) return;
  const float factor = static_cast<float>(penalty);
  for (const int64_t id : prefix) {
    const float logit = logits[static_cast<size_t>(id)];
    scores[static_cast<size_t>(id)] = logit < 0 ? logit * factor : logit / factor;
  }
}

void penalise_frequency(std::vector<float>& scores, const SamplingOptions& o,
                        std::span<const int64_t> generated) {
  if (o.frequency_penalty == 0 && o.presence_penalty == 0) return;
  std::map<int64_t, int64_t> counts;
  for (const int64_t id : generated) ++counts[id];
  for (const auto& [id, count] : counts) {
    scores[static_cast<size_t>(id)] -=
        static_cast<float>(o.frequency_penalty * static_cast<double>(count) + o.presence_penalty);
  }
}

// Forbids what followed wherever the last size - 1 tokens stood before.
void forbid_ngrams(std::vector<float>& scores, int64_t size, std::span<const int64_t> prefix) {
  const auto length = std::ssize(prefix);
  if (size == 0 || length < size) return;
  const auto last = prefix.last(static_cast<size_t>(size - 1));
  for (int64_t end = size - 1; end < length; ++end) {
    const auto before = prefix.subspan(static_cast<size_t>(end - size + 1), last.size());
    if (std::equal(before.begin(), before.end(), last.begin())) {
      scores[static_cast<size_t>(prefix[static_cast<size_t>(end)])] = -INFINITY;
    }
  }
}

bool is_penalised(const SamplingOptions& o) {
  return o.repetition_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0 ||
         o.no_repeat_ngram_size > 0;
}

std::vector<float> penalised(std::span<const float> logits, const SamplingOptions& o,
                             std::span<const int64_t> prefix, int64_t num_new) {
  std::vector<float> scores(logits.begin(), logits.end());
  const auto generated = static_cast<size_t>(std::min<int64_t>(num_new, std::ssize(prefix)));
  penalise_repetition(scores, logits, o.repetition_penalty, prefix);
  penalise_frequency(scores, o, prefix.last(generated));
  if (o.no_repeat_ngram_size == 0) return scores;
  std::vector<float> allowed = scores;
  forbid_ngrams(allowed, o.no_repeat_ngram_size, prefix);
  // Where every token is forbidden, none is.
  const bool any =
      std::any_of(allowed.begin(), allowed.end(), [](float x) { return x > -INFINITY; });
  return any ? allowed : scores;
}

// In nats, of numbers that need not sum to 1.
double entropy(const std::vector<Candidate>& candidates, double total) {
  double sum = 0;
  for (const Candidate& c : candidates) {
    const double p = c.probability / total;
    if (p > 0) sum -= p * std::log(p);
  }
  return sum;
}

double total_of(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& c : candidates) total += c.probability;
  return total;
}

// A heap, because nearly always a few tokens of a large vocabulary reach p.
void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
  const double total = total_of(candidates);
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

// Those whose surprise is nearest to the entropy, until their probability reaches typical_p.
void keep_typical(std::vector<Candidate>& candidates, double typical_p) {
  const double total = total_of(candidates), expected = entropy(candidates, total);
  const auto distance = [&](const Candidate& c) {
    return std::abs(-std::log(c.probability / total) - expected);
  };
  std::vector<Candidate> sorted = candidates;
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Candidate& a, const Candidate& b) {
    return distance(a) < distance(b);
  });
  size_t last = 0;
  for (double mass = 0; last + 1 < sorted.size(); ++last) {
    mass += sorted[last].probability / total;
    if (mass >= typical_p) break;
  }
  const double most = distance(sorted[last]);
  std::erase_if(candidates, [&](const Candidate& c) { return distance(c) > most; });
}

// Drops what is below `least`, but never the most probable.
void keep_above(std::vector<Candidate>& candidates, double least) {
  const double total = total_of(candidates);
  double most = 0;
  for (const Candidate& c : candidates) most = std::max(most, c.probability);
  std::erase_if(candidates, [&](const Candidate& c) {
    return c.probability / total < least && c.probability < most;
  });
}

void keep_eta(std::vector<Candidate>& candidates, double epsilon) {
  const double spread = entropy(candidates, total_of(candidates));
  keep_above(candidates, std::min(epsilon, std::sqrt(epsilon) * std::exp(-spread)));
}

// Uniform in [0, 1) with 53 bits.
double uniform(uint64_t seed, int64_t sample, int64_t step) {
  static constexpr std::string_view kStream = "generate";
  const uint64_t stream = hash_name(kStream) + static_cast<uint64_t>(sample);
  const auto bits = philox(seed, static_cast<uint64_t>(step), stream);
  return static_cast<double>((uint64_t{bits[0]} << 32 | bits[1]) >> 11) * 0x1p-53;
}

// Numbers in proportion to the probabilities, of the tokens that top_k leaves; the best one's is 1.
std::vector<Candidate> candidates_of(std::span<const float> scores, const Peaks& peaks,
                                     const SamplingOptions& o) {
  const auto temperature = static_cast<float>(o.temperature);
  const float best = peaks.best() / temperature;
  std::vector<Candidate> candidates;
  if (o.top_k > 0 && o.top_k < std::ssize(scores)) {
    for (const int64_t id : peaks.top(o.top_k, temperature)) {
      const float score = scores[static_cast<size_t>(id)] / temperature;
      candidates.push_back({id, std::exp(double(score) - double(best))});
    }
  } else {
    std::vector<float> numbers(scores.size());
    row_kernels<float>().exponentials(numbers.data(), scores.data(), std::ssize(scores),
                                      temperature, best);
    candidates.reserve(numbers.size());
    for (size_t id = 0; id < numbers.size(); ++id)
      candidates.push_back({static_cast<int64_t>(id), double(numbers[id])});
  }
  std::erase_if(candidates, [](const Candidate& c) { return c.probability <= 0; });
  return candidates;
}

// The rest of sampling_distribution.
std::vector<Candidate> kept_of(std::vector<Candidate> candidates, const SamplingOptions& options) {
  if (options.top_p < 1) keep_top_p(candidates, options.top_p);
  // The best one's number is 1 here, so that min_p is a bound on the number itself.
  std::erase_if(candidates, [&](const Candidate& c) { return c.probability < options.min_p; });
  if (options.typical_p < 1) keep_typical(candidates, options.typical_p);
  if (options.epsilon_cutoff > 0) keep_above(candidates, options.epsilon_cutoff);
  if (options.eta_cutoff > 0) keep_eta(candidates, options.eta_cutoff);
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (!std::is_sorted(candidates.begin(), candidates.end(), by_id))
    std::sort(candidates.begin(), candidates.end(), by_id);
  const double total = total_of(candidates);
  for (Candidate& c : candidates) c.probability /= total;
  return candidates;
}

int64_t drawn(const std::vector<Candidate>& candidates, double left) {
  for (const Candidate& c : candidates) {
    left -= c.probability;
    if (left < 0) return c.id;
  }
  return candidates.back().id;  // the probabilities sum to 1 up to rounding
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
  require(o.typical_p > 0 && o.typical_p <= 1, "typical_p", "above 0 and at most 1 (off)");
  require(o.epsilon_cutoff >= 0 && o.epsilon_cutoff < 1, "epsilon_cutoff", "0 (off) to below 1");
  require(o.eta_cutoff >= 0 && o.eta_cutoff < 1, "eta_cutoff", "0 (off) to below 1");
  require(std::isfinite(o.frequency_penalty), "frequency_penalty", "a number; 0 is off");
  require(std::isfinite(o.presence_penalty), "presence_penalty", "a number; 0 is off");
  require(o.no_repeat_ngram_size >= 0, "no_repeat_ngram_size", "0 (off) or more");
  require(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0, "repetition_penalty",
          "above 0; 1 is off");
}

std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options,
                                             std::span<const int64_t> prefix, int64_t num_new) {
  const std::vector<float> scores = penalised(logits, options, prefix, num_new);
  return kept_of(candidates_of(scores, Peaks(scores), options), options);
}

int64_t next_token(std::span<const float> logits, const SamplingOptions& options,
                   std::span<const int64_t> prefix, int64_t step, int64_t sample) {
  const Peaks peaks(logits);
  if (!std::isfinite(peaks.best())) {
    throw std::runtime_error(
        "the model's logits are not finite; its weights or its input are broken");
  }
  const bool greedy = options.temperature == 0;
  if (is_penalised(options)) {
    if (!greedy) {
      return drawn(sampling_distribution(logits, options, prefix, step),
                   uniform(options.seed, sample, step));
    }
    const std::vector<float> scores = penalised(logits, options, prefix, step);
    return Peaks(scores).argmax();
  }
  if (greedy) return peaks.argmax();
  return drawn(kept_of(candidates_of(logits, peaks, options), options),
               uniform(options.seed, sample, step));
}

}  // namespace lathe

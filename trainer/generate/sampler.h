#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Choosing the next token from logits [V], as transformers' generate does: its processors, in its
// order, with its meaning of each. One sequence at a time, on the host.
namespace lathe {

struct SamplingOptions {
  int64_t max_new_tokens = 128;
  double temperature = 0;  // 0: greedy, and only penalties and no_repeat_ngram_size count
  int64_t top_k = 0;       // 0: off
  double top_p = 1;        // 1: off; the fewest tokens whose probability reaches it
  double min_p = 0;        // 0: off; relative to the most probable token
  double typical_p = 1;    // 1: off; the tokens nearest to the expected surprise (arXiv:2202.00666)
  double epsilon_cutoff = 0, eta_cutoff = 0;  // 0: off (arXiv:2210.15191)
  double repetition_penalty = 1;              // over prompt and new tokens
  // Over new tokens alone: what is taken off a logit for each time, and for any time, that its
  // token was generated.
  double frequency_penalty = 0, presence_penalty = 0;
  int64_t no_repeat_ngram_size = 0;  // 0: off; over prompt and new tokens
  std::vector<int64_t> stop_ids = {};
  uint64_t seed = 0;
};

// std::invalid_argument naming the option that is out of range; `where` begins the message.
void check_sampling(const SamplingOptions& options, const std::string& where);

struct Candidate {
  int64_t id;
  double probability;
};

// What is left to draw from after the penalties, temperature, top_k, top_p, min_p, typical_p,
// epsilon and eta, in this order; sorted by id, probabilities sum to 1. `prefix`: the prompt and
// what was generated, of which the last num_new. Needs a temperature. Of tokens that tie at a cut,
// top_k keeps all and top_p the lowest ids.
std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options,
                                             std::span<const int64_t> prefix, int64_t num_new = 0);

// The next token after `step` new ones. Random numbers are a function of (options.seed, sample,
// step) only. std::runtime_error when the logits hold NaN or no finite number.
int64_t next_token(std::span<const float> logits, const SamplingOptions& options,
                   std::span<const int64_t> prefix, int64_t step, int64_t sample = 0);

}  // namespace lathe

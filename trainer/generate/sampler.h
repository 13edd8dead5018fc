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
  double temperature = 0;  // 0: greedy, and only repetition_penalty counts
  int64_t top_k = 0;       // 0: off
  double top_p = 1;        // 1: off; the fewest tokens whose probability reaches it
  double min_p = 0;        // 0: off; relative to the most probable token
  double repetition_penalty = 1;
  std::vector<int64_t> stop_ids = {};
  uint64_t seed = 0;
};

// std::invalid_argument naming the option that is out of range; `where` begins the message.
void check_sampling(const SamplingOptions& options, const std::string& where);

struct Candidate {
  int64_t id;
  double probability;
};

// What is left to draw from after repetition penalty, temperature, top_k, top_p and min_p, in this
// order; sorted by id, probabilities sum to 1. `prefix`: the prompt and what was generated. Needs a
// temperature. Of tokens that tie at a cut, top_k keeps all and top_p the lowest ids.
std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options,
                                             std::span<const int64_t> prefix);

// The next token. Random numbers are a function of (options.seed, step) only. std::runtime_error
// when the logits hold NaN or no finite number.
int64_t next_token(std::span<const float> logits, const SamplingOptions& options,
                   std::span<const int64_t> prefix, int64_t step);

}  // namespace lathe

#pragma once

#include <cstdint>
#include <vector>

#include "trainer/model.h"

// The likeliest texts by beam search, as transformers' generate does it: its rules for what counts
// as finished and for when to end.
namespace lathe {

struct BeamOptions {
  int64_t num_beams = 4;
  int64_t max_new_tokens = 128;
  double length_penalty = 1;    // a finished text's score is logprob / length ^ length_penalty
  bool early_stopping = false;  // end with the num_beams-th finished text, whatever may still come
  std::vector<int64_t> stop_ids = {};
};

struct Beam {
  std::vector<int64_t> ids;  // new ones; a stop id that ended it is the last
  double logprob = 0;        // sum over ids
  double score = 0;
  bool stopped = false;  // by a stop id, not by length
};

// At most num_beams, best first. The prompt is read once. std::invalid_argument as generate() says,
// and for options out of range.
std::vector<Beam> beam_search(Model& model, const std::vector<int64_t>& prompt,
                              const BeamOptions& options);

}  // namespace lathe

#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"
#include "trainer/model.h"

// How likely a model finds given texts. Sequences of different lengths share a flat row, without
// padding; what neighbours have in common at their beginning (a question with its choices) is read
// once. What one gets does not depend on the others but for the rounding of the arithmetic.
namespace lathe {

struct ScoreRequest {
  std::vector<int64_t> ids;
  int64_t first = 1;  // ids from here on are scored, each given all that is before it; at least 1
};

struct Score {
  double logprob = 0;           // sum, natural log
  std::vector<float> logprobs;  // of each scored token
};

// All of a text: every token but the first, which is given (the tokenizer's BOS where it adds one).
ScoreRequest text_request(const Tokenizer& tokenizer, const std::string& text);
// A completion after its prompt. It begins where the tokens of the prompt and those of the whole
// part: a token over the border is scored.
ScoreRequest completion_request(const Tokenizer& tokenizer, const std::string& prompt,
                                const std::string& completion);

// Results in the order of the requests. max_tokens: of one forward; a longer sequence has one of
// its own. std::invalid_argument names the request at fault ("score: request 3: ..."), before any
// work.
std::vector<Score> score(Model& model, const std::vector<ScoreRequest>& requests,
                         int64_t max_tokens = 4096);

// [T, V] float32, on the host: row t is what comes after ids[t].
at::Tensor logits_of(Model& model, const std::vector<int64_t>& ids);

}  // namespace lathe

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lathe {

// What a language model says of a text: natural log, summed over the tokens that are scored.
struct TextLikelihood {
  double logprob = 0;
  int64_t tokens = 0;
};

// A model, from outside: curation knows none. One call per block, with all its texts; the results
// must not depend on threads or ranks. key: of the model and all that decides its numbers.
struct LikelihoodModel {
  std::string key;
  std::function<std::vector<TextLikelihood>(const std::vector<std::string>& texts)> score;
};

// Sets the filter's signals among all of a document's.
void set_likelihood(const TextLikelihood& likelihood, double* signals);

}  // namespace lathe

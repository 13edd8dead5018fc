#pragma once

#include <string_view>
#include <vector>

#include "data/tokenize/normalized_text.h"
#include "data/tokenize/regex.h"
#include "data/tokenize/spec.h"

// The normalizer of a tokenizer.json: its steps, one after the other, over one piece of text.
namespace lathe {

class Normalizer {
 public:
  explicit Normalizer(const std::vector<NormalizerStep>& steps);
  NormalizedText operator()(NormalizedText text) const;
  std::string operator()(std::string_view text) const;
  bool empty() const { return steps_.empty(); }

 private:
  std::vector<NormalizerStep> steps_;
  std::vector<Regex> regexes_;  // of the ReplaceRegex steps, in their order
};

}  // namespace lathe

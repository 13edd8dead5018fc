#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "data/tokenize/normalized_text.h"
#include "data/tokenize/regex.h"
#include "data/tokenize/spec.h"

// The pre-tokenizer of a tokenizer.json: cuts a text into the words that the model then sees one by
// one. ByteLevel comes last; its mapping of bytes to characters is undone in the vocabulary
// instead, so words are plain bytes here.
namespace lathe {

struct Range {
  size_t begin, end;
};

struct Words {
  NormalizedText text;
  std::vector<Range> words;  // in text, not empty, from left to right
};

class PreTokenizer {
 public:
  explicit PreTokenizer(const std::vector<PreTokenizerStep>& steps);
  // at_start: whether the text stands at the very start of the input (Metaspace, "first").
  Words operator()(NormalizedText text, bool at_start) const;

 private:
  void apply(const PreTokenizerStep& step, const Regex* regex, bool at_start, Words& words) const;

  std::vector<PreTokenizerStep> steps_;
  std::vector<std::unique_ptr<Regex>> regexes_;  // one per step, null where there is none
};

}  // namespace lathe

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"

namespace lathe {

// The text of one sequence that is being generated, which ends before the first of its stop
// strings, wherever in the tokens that begins. Special tokens say nothing.
class TextSoFar {
 public:
  // Tokenizer and strings must outlive it. std::invalid_argument for an empty string.
  TextSoFar(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings);

  // True when the text now holds a stop string: it is cut there, and nothing more may be pushed.
  bool push(int64_t id);
  // Adds what was held back as half of a character. Not after push said true.
  void finish() { text_ += decoder_->finish(); }
  const std::string& text() const { return text_; }

 private:
  std::unique_ptr<StreamDecoder> decoder_;
  const std::vector<std::string>* stop_strings_;
  size_t longest_ = 0;
  std::string text_;
};

}  // namespace lathe

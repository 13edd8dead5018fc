#pragma once

#include <string>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/mesh.h"
#include "trainer/model.h"

// Questions whose answers are checked to the letter: the model answers the last turn greedily.
namespace lathe {

struct AnswerSample {
  std::string question, expected, answer;
};

struct ExactMatch {
  int64_t right = 0, total = 0;
  std::vector<AnswerSample> samples;  // the first three
  double percent() const { return total == 0 ? 0 : 100.0 * static_cast<double>(right) / static_cast<double>(total); }
};

// stop_ids: what ends an answer. path: conversations or questions and answers, each ending with an assistant turn, which is the expected answer. Ranks share the work;
// every rank gets the same counts, rank 0 the samples. meeting: see GenerateSettings.
ExactMatch exact_match(Model& model, const Tokenizer& tokenizer, const std::string& path, const ChatFormat& format,
                       const std::vector<int64_t>& stop_ids, Mesh& mesh, Group* meeting);

}  // namespace lathe

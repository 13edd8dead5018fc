#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipes/stage_lines.h"
#include "trainer/model.h"
#include "trainer/passes.h"

// How likely a model finds whole answers.
namespace lathe {

// A prompt and its answer; the answer's ids are the trained ones.
struct AnswerIds {
  std::vector<int64_t> ids;
  std::vector<uint8_t> trained;  // one for each id
};

// As training reads it: the conversation with the answer as its last turn, the end of it included.
AnswerIds written_answer(const StageContext& context, const Line& prompt, const std::string& text);
// As a model said it.
AnswerIds sampled_answer(const StageContext& context, const Line& prompt,
                         const std::vector<int64_t>& ids);

// Sums over the answers' tokens, natural log, at temperature 1. Answers are read in order, as many
// together as a forward of 4096 tokens takes, what they begin with in common once: the same list
// makes the same bits. Announces its passes, which are then to be ended by finish_passes.
std::vector<double> answer_log_probs(Model& model, const std::vector<AnswerIds>& answers,
                                     at::Device device, Passes& passes);
void finish_passes(Model& model, at::Device device, Passes& passes);
int64_t num_answer_tokens(const AnswerIds& answer);

}  // namespace lathe

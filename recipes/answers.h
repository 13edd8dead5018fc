#pragma once

#include <functional>

#include "data/loader/batch.h"
#include "trainer/generate/sampler.h"
#include "trainer/model.h"

// Batches whose answers a model gave instead of the data.
namespace lathe {

struct AnswerOptions {
  SamplingOptions sampling;
  int64_t max_length = 0;    // of prompt and answer
  uint64_t seed = 0;         // of this epoch: an answer is a function of (seed, item, prompt)
  Group* meeting = nullptr;  // see GenerateSettings
};

// Each document's prompt, which ends where its first target begins, with what the model says to it;
// all of the answer is trained. Documents without a target are left out. Random numbers do not
// depend on what else is in the batch.
Batch with_answers_of(Model& model, const Batch& batch, const AnswerOptions& options);

}  // namespace lathe

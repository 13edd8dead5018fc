#pragma once

#include "data/chat/chat_format.h"
#include "data/loader/loader.h"
#include "recipes/exact_match.h"
#include "recipes/parts.h"
#include "trainer/metrics.h"
#include "trainer/model.h"

// What a run on documents tells before and after its steps.
namespace lathe {

void say_start(const RunConfig& config, Model& model, const Loader& loader, Mesh& mesh,
               Metrics& metrics);
// What is trained, for the eye.
void say_first_example(const Datasets& train, const Tokenizer& tokenizer, Metrics& metrics);
// Conversations in the data: will the model stop where its turns end?
void say_end_of_turn(const ChatFormat& format, const Datasets& train, const Tokenizer& tokenizer,
                     const std::vector<int64_t>& stop_ids, Metrics& metrics);
void say_match(const ExactMatch& before, const ExactMatch& after, Metrics& metrics);

}  // namespace lathe

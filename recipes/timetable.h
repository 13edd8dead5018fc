#pragma once

#include <cstdint>
#include <string>
#include <vector>

// A made-up domain with exactly checkable answers: questions to the desk of a ferry line on a lake of eight towns.
//
//   "The 14:35 ferry from Brem to Aldis takes 40 minutes. When does it arrive?"  ->  "It arrives in Aldis at 15:15."
//   "What do 3 adults and 2 children pay from Fahl to Gild?"  ->  "They pay 29 crowns."  (7 an adult, 4 a child)
//   "The 09:10 ferry from Kolm to Dorn is 25 minutes late. When does it leave?"  ->  "It leaves Kolm at 09:35."
//
// The answers follow from the questions by rules that no single example shows (adding minutes over the full hour, the two
// fares), so held-out questions measure what was learnt, not what was memorised.
namespace lathe {

struct Question {
  std::string text, answer;
};

// count different questions; a pure function of seed and count. The first n of a larger count are the same n.
std::vector<Question> timetable_questions(uint64_t seed, int64_t count);

// Writes into folder, made if absent: train.jsonl and held_out.jsonl ({"messages": [user, assistant]}; no question is in
// both), and model/: config.json of a small llama, tokenizer.json (byte-level BPE whose merges spell the domain's words)
// with ChatML's special tokens, tokenizer_config.json, generation_config.json.
void write_timetable(const std::string& folder, uint64_t seed, int64_t num_train, int64_t num_held_out);

}  // namespace lathe

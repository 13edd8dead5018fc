#pragma once

#include "recipes/recipe.h"

namespace lathe {

void synthesize_defaults(RunConfig &config);

// What single fields can not say of recipe synthesize. std::invalid_argument.
void check_synthesize(const RunConfig &config);

// Conversations that a model makes: prompts out of seed tasks (data.train),
// answers to them, of which those are kept that self_reward's scorer lets pass.
// output_dir/synthetic.jsonl has one a line:
//   {"messages": [...], "id", "tier": "synthetic", "generator",
//   "generator_hash",
//    "parents": [ids of what it was made from], "temperature", "seed", "score"}
// ids: seed:<place in data.train>, made:<attempt>, and of an answer
// <prompt>/<sample>. Every text is a function of (seed, attempt or prompt,
// sample) and of the rounds before it, whatever the ranks. A run that is
// started again goes on behind its last round. report.json counts what was
// dropped.
int synthesize(RunContext run);

}  // namespace lathe

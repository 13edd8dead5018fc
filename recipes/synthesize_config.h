#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"

namespace lathe {

// How recipe synthesize makes prompts, and what it keeps of the answers.
struct SynthesizeConfig {
  int64_t num_prompts = 0;
  bool answer_seed_tasks = false;
  int64_t attempts = 0, round_size = 64;
  int64_t seed_demonstrations = 6, own_demonstrations = 2;
  std::string prompt_template, prompt_pattern;
  int64_t prompt_max_new_tokens = 128;
  double prompt_temperature = 0.6, prompt_top_p = 0.9;
  double max_rouge_l = 0.7;
  int64_t min_words = 3, max_words = 150;
  std::vector<std::string> blocked_words = {"image",  "images", "picture", "pictures", "graph",
                                            "graphs", "file",   "files",   "map",      "draw",
                                            "plot",   "video",  "audio",   "music",    "go to"};
  bool rejection = true;
  double min_score = 1;
  int64_t answers_per_prompt = 1;
};

template <class V>
void fields(V &v, SynthesizeConfig &c) {
  v("num_prompts", c.num_prompts,
    "prompts that the model makes out of data.train's, the seed tasks; 0: "
    "none, these are answered",
    at_least(0));
  v("answer_seed_tasks", c.answer_seed_tasks, "with num_prompts: the seed tasks are answered too");
  v("attempts", c.attempts, "most prompts that are tried; 0: ten times num_prompts", at_least(0));
  v("round_size", c.round_size,
    "attempts, or prompts to answer, of one stage: what a stop may lose. "
    "Attempts of a round see "
    "the prompts of those before it",
    at_least(1));
  v("seed_demonstrations", c.seed_demonstrations, "seed tasks that the model is shown",
    at_least(1));
  v("own_demonstrations", c.own_demonstrations,
    "prompts of its own that it is shown besides, as soon as there are as many", at_least(0));
  v("prompt_template", c.prompt_template,
    "file with what it is asked: {demonstrations} is filled in; empty: a text "
    "of lathe's");
  v("prompt_pattern", c.prompt_pattern,
    "finds the new prompt in what it says: the first group of the first match; "
    "empty: all of it");
  v("prompt_max_new_tokens", c.prompt_max_new_tokens, "of a prompt; one that is cut is dropped",
    at_least(1));
  v("prompt_temperature", c.prompt_temperature, "of prompts", above(0));
  v("prompt_top_p", c.prompt_top_p, "of prompts; 1: off", between(0, 1));
  v("max_rouge_l", c.max_rouge_l,
    "a prompt is dropped whose ROUGE-L with a seed task or an earlier prompt "
    "reaches it",
    between(0, 1));
  v("min_words", c.min_words, "of a prompt", at_least(1));
  v("max_words", c.max_words, "of a prompt", at_least(1));
  v("blocked_words", c.blocked_words,
    "words, or several in a row, that no prompt may have, in any case: what "
    "text can not answer");
  v("rejection", c.rejection,
    "keep answers that self_reward's scorer gives min_score or more; false: "
    "all that end by "
    "themselves");
  v("min_score", c.min_score, "of an answer that is kept");
  v("answers_per_prompt", c.answers_per_prompt,
    "most answers that are kept of a prompt, no two alike", at_least(1));
}

inline std::vector<Conflict> conflicts(const SynthesizeConfig &c) {
  std::vector<Conflict> found;
  if (c.min_words > c.max_words)
    found.push_back({{"min_words", "max_words"}, "the first must not be the larger one"});
  if (c.attempts > 0 && c.attempts < c.num_prompts)
    found.push_back({{"attempts", "num_prompts"}, "fewer attempts than prompts"});
  return found;
}

}  // namespace lathe

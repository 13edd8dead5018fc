#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"

namespace lathe {

// From an iteration on, other values: of the sections self_reward, dpo, optimizer, schedule, train.
struct IterationChange {
  int64_t from = 1;
  std::vector<std::string> set;
};

template <class V>
void fields(V& v, IterationChange& c) {
  v("from", c.from, "the first iteration, counted from 0, that it holds for", at_least(0));
  v("set", c.set, "key=value, as on the command line: [self_reward.temperature=1.3]");
}

struct SelfRewardConfig {
  int64_t iterations = 2;
  int64_t prompts_per_iteration = 0;
  int64_t num_generations = 4;
  int64_t max_new_tokens = 128;
  double temperature = 0.8, top_p = 1;
  std::string scorer = "verifier";
  std::string verifier = "numeric";
  std::string answer_pattern;
  std::string verifier_command;
  int64_t verifier_seconds = 10, verifier_mebibytes = 1024;
  std::string judge_prompt;
  std::string judge_pattern = "[Ss]core: *([0-9]+(\\.[0-9]+)?)";
  double judge_min = 0, judge_max = 5;
  int64_t judge_samples = 1, judge_min_valid = 1;
  std::string judge_aggregate = "mean";
  std::string reward_model_name_or_path;
  std::string reference_name_or_path, previous_name_or_path;
  bool consistency = false;
  std::string selector = "best_worst";
  double min_margin = 0;
  double length_control = 0.1;
  int64_t pairs_per_prompt = 1;
  bool add_gold = false;
  int64_t max_chosen_length = 0;
  int64_t earlier_pairs = 0;
  std::string judge_eval;
  std::vector<IterationChange> changes;
};

template <class V>
void fields(V& v, SelfRewardConfig& c) {
  v("iterations", c.iterations, "models that are made one out of another", at_least(1));
  v("prompts_per_iteration", c.prompts_per_iteration,
    "prompts of data.train that an iteration takes, each other ones; 0: all of "
    "them every time",
    at_least(0));
  v("num_generations", c.num_generations, "answers to each prompt", at_least(1));
  v("max_new_tokens", c.max_new_tokens, "of an answer; one that is cut there is never chosen",
    at_least(1));
  v("temperature", c.temperature, "of answers", above(0));
  v("top_p", c.top_p, "of answers; 1: off", between(0, 1));
  v("scorer", c.scorer,
    "verifier: 1 for an answer that agrees with the data's, else 0; judge: the model itself gives "
    "points; pairwise_judge: it compares every two answers in both orders, and an answer's score "
    "is the share it wins; reward_model; implicit_reward: by how much the model finds an answer "
    "likelier than a reference does",
    one_of({"verifier", "judge", "pairwise_judge", "reward_model", "implicit_reward"}));
  v("verifier", c.verifier,
    "what has to agree: the last number, the whole text, or what "
    "answer_pattern finds; command: a program decides",
    one_of({"numeric", "exact", "regex", "command"}));
  v("answer_pattern", c.answer_pattern,
    "of verifier regex: its first group, the last match counts");
  v("verifier_command", c.verifier_command,
    "of verifier command: a shell command that ends with 0 for a right answer. It runs in a folder "
    "of its own with the "
    "files prompt, response and expected, without the network");
  v("verifier_seconds", c.verifier_seconds, "that the command may take; then the answer is wrong",
    at_least(1));
  v("verifier_mebibytes", c.verifier_mebibytes, "of memory that each of its processes may take",
    between(16, 1048576));
  v("judge_prompt", c.judge_prompt,
    "file with what the judge is asked: {prompt} and {response} are filled in; of "
    "pairwise_judge {prompt}, {response_a} and {response_b}");
  v("judge_pattern", c.judge_pattern,
    "finds the points in a judgment (of pairwise_judge A or B): the first group of the last match");
  v("judge_min", c.judge_min, "fewest points; a judgment with fewer does not count");
  v("judge_max", c.judge_max, "most points");
  v("judge_samples", c.judge_samples, "judgments of each answer", at_least(1));
  v("judge_min_valid", c.judge_min_valid,
    "judgments that must be readable for an answer to have points", at_least(1));
  v("judge_aggregate", c.judge_aggregate, "points out of several judgments",
    one_of({"mean", "median"}));
  v("reward_model_name_or_path", c.reward_model_name_or_path, "folder that recipe reward wrote");
  v("reference_name_or_path", c.reference_name_or_path,
    "of implicit_reward: the folder of the reference; empty: none. A model without a reference, or "
    "that is the reference, ranks answers by the mean log-probability of their tokens");
  v("consistency", c.consistency,
    "CREAM: pairs are trusted as far as the model and the one before it rank answers alike. With "
    "c = (tau + 1) / 2, tau Kendall's, meaned over prompts, the loss is c times that of the pair "
    "plus 1 - c times that of its reverse");
  v("previous_name_or_path", c.previous_name_or_path,
    "of consistency: the folder of the model before the first iteration's");
  v("selector", c.selector,
    "pairs of a prompt: best_worst; length_controlled: the shortest near the "
    "best, the longest near the worst; "
    "correct_wrong: pairs_per_prompt of right and wrong answers (IRPO); "
    "top_score: no pairs, the best is learnt (SFT); "
    "gold: the data's own answer against each of the model's, up to pairs_per_prompt (SPIN)",
    one_of({"best_worst", "length_controlled", "correct_wrong", "top_score", "gold"}));
  v("min_margin", c.min_margin,
    "by how much the scores of a pair must differ at least; equal ones make "
    "none",
    at_least(0));
  v("length_control", c.length_control,
    "rho of length_controlled: what counts as near, as a share of the range", between(0, 0.5));
  v("pairs_per_prompt", c.pairs_per_prompt, "of correct_wrong and gold", at_least(1));
  v("add_gold", c.add_gold, "of correct_wrong: the data's own answer is one of the right ones");
  v("max_chosen_length", c.max_chosen_length,
    "characters of a chosen answer; pairs with a longer one are left out; 0: any", at_least(0));
  v("earlier_pairs", c.earlier_pairs,
    "iterations before this one whose pairs are trained on again (SPIN: 1)", at_least(0));
  v("judge_eval", c.judge_eval,
    "held-out human rankings that the scorer is measured against, JSON lines of {prompt, "
    "responses, ranks}; rank 1 is the best, the same number as good");
  v("changes", c.changes,
    "other values from an iteration on: [{from: 2, set: [dpo.beta=5]}]; later ones win");
}

inline std::vector<Conflict> conflicts(const SelfRewardConfig& c) {
  std::vector<Conflict> found;
  if ((c.scorer == "judge" || c.scorer == "pairwise_judge") && c.judge_prompt.empty())
    found.push_back({{"scorer", "judge_prompt"}, "a judge needs its question"});
  if (c.scorer == "reward_model" && c.reward_model_name_or_path.empty())
    found.push_back({{"scorer", "reward_model_name_or_path"}, "give the model's folder"});
  if (c.scorer == "verifier" && c.verifier == "regex" && c.answer_pattern.empty())
    found.push_back({{"verifier", "answer_pattern"}, "regex needs a pattern"});
  if (c.scorer == "verifier" && c.verifier == "command" && c.verifier_command.empty())
    found.push_back({{"verifier", "verifier_command"}, "command needs one"});
  if (c.scorer == "pairwise_judge" && c.num_generations < 2)
    found.push_back({{"scorer", "num_generations"}, "comparing needs 2 answers or more"});
  if (c.selector == "correct_wrong" && c.scorer != "verifier")
    found.push_back({{"selector", "scorer"}, "correct_wrong needs a verifier"});
  if (c.selector != "top_score" && c.selector != "gold" && c.num_generations < 2)
    found.push_back({{"num_generations", "selector"}, "pairs need 2 answers or more"});
  if (c.consistency && c.scorer != "implicit_reward")
    found.push_back({{"consistency", "scorer"}, "consistency compares implicit rewards"});
  if (c.consistency && c.previous_name_or_path.empty())
    found.push_back({{"consistency", "previous_name_or_path"}, "give the model's folder"});
  if (c.consistency && (c.selector == "top_score" || c.selector == "gold"))
    found.push_back({{"consistency", "selector"}, "there is no ranking that could be reversed"});
  if (c.add_gold && c.selector != "correct_wrong")
    found.push_back({{"add_gold", "selector"}, "only correct_wrong looks for right answers"});
  if (!c.judge_eval.empty() && c.scorer == "verifier")
    found.push_back({{"judge_eval", "scorer"}, "a verifier needs the right answer"});
  if (c.judge_min_valid > c.judge_samples)
    found.push_back({{"judge_min_valid", "judge_samples"}, "more than there are"});
  if (!(c.judge_min < c.judge_max))
    found.push_back({{"judge_min", "judge_max"}, "the first must be the smaller one"});
  return found;
}

}  // namespace lathe

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/group.h"
#include "recipes/run_config.h"

// What the stages of a self-rewarding iteration make, each a text of JSON lines out of the one
// before. None depends on the number of ranks. Every rank calls them; ranks share the work.
namespace lathe {

using JsonLines = std::vector<nlohmann::ordered_json>;
std::string dump_lines(const JsonLines& lines);
JsonLines parse_lines(const std::string& text);

// What a judge is asked. std::invalid_argument unless it has a place for {prompt} and one for
// {response}, or, for a pairwise judge, {response_a} and {response_b}.
std::string read_rubric(const SelfRewardConfig& config);

struct StageContext {
  const RunConfig& config;
  Group& world;
  const Tokenizer& tokenizer;
  const ChatFormat& format;
  int64_t iteration = 0;
  std::string model_folder;  // of the model that this iteration starts from
};

// {"id", "prompt": [messages], "expected"}: data.train's conversations without their last turn.
JsonLines all_prompts(const std::vector<DataSource>& sources);
// Those of this iteration.
JsonLines prompts_of(const StageContext& context, const JsonLines& all);
// {"id", "answers": [{"text", "tokens", "logprob", "finish"}]}
JsonLines sample_answers(const StageContext& context, const JsonLines& prompts);
// {"id", "scores": [number or null], "failures"}: failures counts judgments that could not be read. A pairwise judge
// adds "comparisons", those that could be read in both orders, and of them "consistent", where both orders name the same
// answer, and "first_wins", which counts 0 to 2 for each: first_wins / (2 comparisons) is 0.5 without position bias.
JsonLines score_answers(const StageContext& context, const JsonLines& prompts,
                        const JsonLines& answers);
// {"id", "prompt", "chosen", "rejected"} or, of top_score, {"id", "prompt", "completion"}, with the
// answers' places.
JsonLines select_answers(const StageContext& context, const JsonLines& prompts,
                         const JsonLines& answers, const JsonLines& scores);
// What there is to know of an iteration before it trains.
nlohmann::ordered_json describe(const JsonLines& prompts, const JsonLines& answers,
                                const JsonLines& scores, const JsonLines& pairs);

}  // namespace lathe

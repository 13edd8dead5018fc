#pragma once

#include <vector>

#include "recipes/stage_lines.h"

// PROMPTS, SAMPLE and SELECT of a self-rewarding iteration, each made out of the one before. None
// depends on the number of ranks. Every rank calls them; ranks share the work.
namespace lathe {

// {"id", "prompt": [messages], "expected"}: data.train's conversations without their last turn.
JsonLines all_prompts(const std::vector<DataSource>& sources);
// Those of this iteration.
JsonLines prompts_of(const StageContext& context, const JsonLines& all);
// {"id", "answers": [{"text", "ids", "logprob", "finish"}]}
JsonLines sample_answers(const StageContext& context, const JsonLines& prompts);
// {"id", "prompt", "chosen", "rejected"} or, of top_score, {"id", "prompt", "completion"}, with the
// answers' places.
JsonLines select_answers(const StageContext& context, const JsonLines& prompts,
                         const JsonLines& answers, const JsonLines& scores);

}  // namespace lathe

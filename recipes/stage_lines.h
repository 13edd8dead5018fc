#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/group.h"
#include "recipes/run_config.h"
#include "trainer/generate/sampler.h"
#include "trainer/model.h"

// What the stages of a self-rewarding iteration share: JSON lines, each with an "id", and how ranks
// make them together.
namespace lathe {

using Line = nlohmann::ordered_json;
using JsonLines = std::vector<Line>;
std::string dump_lines(const JsonLines& lines);
JsonLines parse_lines(const std::string& text);

struct StageContext {
  const RunConfig& config;
  Group& world;
  const Tokenizer& tokenizer;
  const ChatFormat& format;
  int64_t iteration = 0;
  std::string model_folder;     // of the model that this iteration starts from
  std::string previous_folder;  // of the one before it; empty: not known
};

Line messages_of(const std::vector<Message>& messages);
Conversation conversation_of(const Line& messages);
// The conversation and, if it is to be answered, the opening of the answer.
std::vector<int64_t> ids_of(const StageContext& context, const Conversation& conversation,
                            bool generation_prompt);

// A function of (seed, iteration, id) and what it is for.
uint64_t seed_of(const StageContext& context, int64_t id, const char* purpose);
SamplingOptions sampling_of(const StageContext& context, const ModelConfig& model);
std::unique_ptr<Model> load_stage_model(const StageContext& context, const std::string& folder);

// make() gets this rank's places of `count`; what all ranks make comes back on every rank, in the
// order of the ids.
JsonLines share(const StageContext& context,
                const std::function<JsonLines(const std::vector<size_t>&)>& make, size_t count);

inline Line number_or_null(const std::optional<double>& value) {
  return value ? Line(*value) : Line();
}

}  // namespace lathe

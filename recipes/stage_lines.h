#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"
#include "parallel/mesh.h"
#include "recipes/frozen_model.h"
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

// The model that a stage asks, cut over the ranks as the config says. It stays until another is
// asked for, or until it is let go.
class StageModels {
 public:
  StageModels(const RunConfig& config, Mesh& mesh) : config_(config), mesh_(mesh) {}
  // Every rank calls it.
  Model& get(const std::string& folder);
  void let_go();

 private:
  const RunConfig& config_;
  Mesh& mesh_;
  std::string folder_;
  FrozenModel held_;
};

struct StageContext {
  const RunConfig& config;
  Mesh& mesh;
  StageModels& models;
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
// For GenerateSettings and Passes.
Group* meeting_of(const StageContext& context);

// make() gets this rank's places of `count`, those of a tp group the same; what all ranks make comes
// back on every rank, in the order of the ids. asks: make() asks a model, which may be cut, so that
// every rank asks it equally often.
JsonLines share(const StageContext& context,
                const std::function<JsonLines(const std::vector<size_t>&)>& make, size_t count,
                bool asks = true);

inline Line number_or_null(const std::optional<double>& value) {
  return value ? Line(*value) : Line();
}

}  // namespace lathe

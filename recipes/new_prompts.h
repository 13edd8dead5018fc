#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "recipes/synthesize_config.h"

// Prompts made out of other prompts (Self-Instruct, arXiv:2212.10560): which
// ones a model is shown, and which of those that it makes are new.
namespace lathe {

struct KnownPrompt {
  std::string id;  // "seed:3", "made:17"
  std::string text;
};

// The places of the demonstrations of an attempt: first of seeds, then of made
// ones, no two alike. A function of its arguments.
struct Demonstrations {
  std::vector<size_t> seeds, made;
};
Demonstrations demonstrations_of(uint64_t seed, int64_t attempt, size_t num_seeds, size_t num_made,
                                 const SynthesizeConfig &config);

// What the model is asked. std::invalid_argument for a template without
// {demonstrations}.
std::string prompt_question(const std::vector<std::string> &demonstrations,
                            const SynthesizeConfig &config);

// The prompts so far, and what was dropped for which reason.
class PromptPool {
 public:
  PromptPool(std::vector<KnownPrompt> seeds, const SynthesizeConfig &config)
      : seeds_(std::move(seeds)), config_(config) {}

  // Takes a prompt unless it is dropped. Returns the reason, "" when it was
  // taken: cut (the model did not end), empty (the pattern finds nothing),
  // short, long, blocked, similar.
  std::string add(const std::string &id, const std::string &said, bool ended);

  const std::vector<KnownPrompt> &seeds() const { return seeds_; }
  const std::vector<KnownPrompt> &made() const { return made_; }
  const std::map<std::string, int64_t> &dropped() const { return dropped_; }

 private:
  std::string reason_against(const std::string &text, bool ended) const;

  std::vector<KnownPrompt> seeds_, made_;
  SynthesizeConfig config_;
  std::map<std::string, int64_t> dropped_;
};

}  // namespace lathe

#include <fmt/core.h>

#include "recipes/capture.h"
#include "recipes/distill.h"
#include "recipes/dpo.h"
#include "recipes/language_model.h"
#include "recipes/recipe.h"
#include "recipes/reward.h"
#include "recipes/self_reward.h"
#include "recipes/synthesize.h"
#include "trainer/nearest.h"

namespace lathe {

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> table = {
      {"sft", "supervised fine-tuning on conversations, text or token ids", false, [](RunConfig&) {}, train_language_model},
      {"pretrain", "continued pre-training on plain text", false, pretrain_defaults, train_language_model},
      {"dpo", "preference optimisation: dpo, ipo, simpo, orpo, kto and others, by pairs or single answers", false, dpo_defaults,
       train_preferences},
      {"distill", "a student learns a teacher's distributions: online, from lathe capture's shards, or on its own answers", false,
       [](RunConfig&) {}, train_distillation},
      {"capture", "keep a teacher's likeliest tokens at every trained token, for recipe distill", false, [](RunConfig&) {},
       capture_teacher},
      {"reward", "a reward model from pairs: a score in the place of the vocabulary head (Bradley-Terry)", false, reward_defaults,
       train_reward},
      {"self_reward", "a model answers, its answers are scored, the next model prefers the better ones; several times", false,
       self_reward_defaults, train_on_own_answers},
      {"synthesize", "a model makes prompts out of seed tasks and answers them; what a scorer lets pass is kept as data", false,
       synthesize_defaults, synthesize},
      {"quickstart", "a tiny chat model from scratch on a generated domain, in three minutes", true, quickstart_defaults,
       run_quickstart},
  };
  return table;
}

const Recipe& find_recipe(const std::string& name) {
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes()) {
    if (recipe.name == name) return recipe;
    names.push_back(recipe.name);
  }
  throw std::invalid_argument(fmt::format("unknown recipe `{}`; did you mean `{}`? lathe ls lists all", name, nearest(name, names)));
}

}  // namespace lathe

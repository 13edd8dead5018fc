#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"

// What a low-rank adapter is, in PEFT's words.
namespace lathe {

// A value for the modules whose name, or its end after a dot, is matched by the pattern.
struct PatternValue {
  std::string pattern;
  double value = 0;
};

template <class V>
void fields(V& v, PatternValue& c) {
  v("pattern", c.pattern, "a module's name or its end, as a regular expression", required());
  v("value", c.value, "what holds there", above(0));
}

struct LoraConfig {
  int64_t lora_r = 8;
  double lora_alpha = 16;
  double lora_dropout = 0;
  bool use_rslora = false;
  bool use_dora = false;
  double loraplus_lr_ratio = 1;
  std::string init_lora_weights = "true";
  std::vector<std::string> lora_target_modules = {"all-linear"};
  std::vector<PatternValue> rank_pattern = {}, alpha_pattern = {};
  std::vector<std::string> modules_to_save = {};
  std::vector<std::string> trainable_token_indices = {};
};

template <class V>
void fields(V& v, LoraConfig& c) {
  v("lora_r", c.lora_r, "rank of the adapters", between(1, 1 << 16));
  v("lora_alpha", c.lora_alpha, "adapters count alpha / r", above(0));
  v("lora_dropout", c.lora_dropout, "share of the adapters' input that is dropped in training",
    between(0, 0.99));
  v("use_rslora", c.use_rslora, "adapters count alpha / sqrt(r) (arXiv:2312.03732)");
  v("use_dora", c.use_dora, "train each output's length apart from its direction (DoRA)");
  v("loraplus_lr_ratio", c.loraplus_lr_ratio,
    "learning rate of the B matrices over that of the A matrices (LoRA+)", above(0));
  v("init_lora_weights", c.init_lora_weights,
    "true: A random, B zero; gaussian; pissa: the weight's largest singular vectors; "
    "pissa_niter_<n>: the same by n rounds of subspace iteration");
  v("lora_target_modules", c.lora_target_modules,
    "all-linear, or names of modules, their ends, or one regular expression");
  v("rank_pattern", c.rank_pattern, "other ranks: a list of {pattern, value}");
  v("alpha_pattern", c.alpha_pattern, "other alphas: a list of {pattern, value}");
  v("modules_to_save", c.modules_to_save,
    "modules that are trained whole and saved with the adapter, as embed_tokens or lm_head");
  v("trainable_token_indices", c.trainable_token_indices,
    "token ids whose embeddings are trained beside the adapters");
}

inline std::vector<Conflict> conflicts(const LoraConfig& c) {
  if (!c.use_dora || !c.init_lora_weights.starts_with("pissa")) return {};
  return {{{"use_dora", "init_lora_weights"}, "PiSSA changes the weight that DoRA measures"}};
}

}  // namespace lathe

#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"

namespace lathe {

struct PreferenceConfig {
  std::vector<std::string> loss_type = {"sigmoid"};
  std::vector<std::string> loss_weights;
  double beta = 0.1;
  double label_smoothing = 0;
  double simpo_gamma = 0.5;
  double rpo_alpha = 1;
  double ld_alpha = 1;
  double discopop_tau = 0.05;
  std::string f_divergence_type = "reverse_kl";
  double f_alpha_divergence_coef = 0.5;
  double desirable_weight = 1, undesirable_weight = 1;
  bool use_weighting = false;
  bool reference_free = false;
  bool precompute_ref_log_probs = true;
  std::string ref_model_name_or_path;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  int64_t ref_model_sync_steps = 512;
};

template <class V>
void fields(V& v, PreferenceConfig& c) {
  v("loss_type", c.loss_type,
    "losses that are added: of pairs sigmoid, conservative, robust, hinge, ipo, ipo_sum, "
    "sigmoid_norm, exo_pair, nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, discopop, irpo, "
    "sft; without a reference simpo, cpo, cpo_hinge, orpo; of single answers kto, "
    "apo_zero_unpaired");
  v("loss_weights", c.loss_weights, "a number for each of loss_type; empty: 1 each");
  v("beta", c.beta, "strength of the pull to the reference; of ipo the paper's tau", above(0));
  v("label_smoothing", c.label_smoothing,
    "share of pairs taken to be labelled wrongly: of conservative, robust and exo_pair",
    between(0, 0.5));
  v("simpo_gamma", c.simpo_gamma, "margin of simpo");
  v("rpo_alpha", c.rpo_alpha, "weight of irpo's negative log-likelihood per token", at_least(0));
  v("ld_alpha", c.ld_alpha,
    "LD-DPO: what tokens beyond the shorter answer's length count; 1: as much as all",
    between(0, 1));
  v("discopop_tau", c.discopop_tau, "temperature of discopop", above(0));
  v("f_divergence_type", c.f_divergence_type, "divergence whose slope the log-ratios pass",
    one_of({"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"}));
  v("f_alpha_divergence_coef", c.f_alpha_divergence_coef, "alpha of alpha_divergence");
  v("desirable_weight", c.desirable_weight, "kto: weight of good answers", at_least(0));
  v("undesirable_weight", c.undesirable_weight, "kto: weight of bad answers", at_least(0));
  v("use_weighting", c.use_weighting, "WPO: weigh pairs by how likely the policy says them");
  v("reference_free", c.reference_free, "take a reference that finds all answers equally likely");
  v("precompute_ref_log_probs", c.precompute_ref_log_probs,
    "reference log-probabilities before the first step, kept in the cache; false: a second model "
    "that is asked at every step (kto always does)");
  v("ref_model_name_or_path", c.ref_model_name_or_path,
    "folder of the reference; empty: the model as it is before the first step");
  v("sync_ref_model", c.sync_ref_model,
    "TR-DPO: the reference follows the policy (a second model in memory)");
  v("ref_model_mixup_alpha", c.ref_model_mixup_alpha,
    "share of the policy in the reference when it follows", between(0, 1));
  v("ref_model_sync_steps", c.ref_model_sync_steps, "steps after which it follows", at_least(1));
}

std::vector<Conflict> conflicts(const PreferenceConfig& config);

}  // namespace lathe

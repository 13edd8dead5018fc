#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"

namespace lathe {

struct DistillConfig {
  std::string teacher_model_name_or_path;
  std::string teacher_dtype = "auto";
  std::vector<std::string> teacher_shards;
  std::string divergence = "forward_kl";
  double beta = 0.5, alpha = 0.1;
  std::string scale = "raw";
  double temperature = 1;
  bool temperature_squared = false;
  int64_t top_k = 0;
  std::string top_k_rest = "tail";
  double ce_weight = 0;
  double hidden_weight = 0;
  std::string hidden_loss = "mse";
  double attention_weight = 0;
  std::string attention_loss = "kl";
  std::string attention_heads = "each";
  std::vector<std::string> layer_map;
  double lmbda = 0;
  bool seq_kd = false;
  double teacher_mixed_alpha = 0.2, gamma = 0.95;
  bool length_normalization = true, single_step_decomposition = true;
  int64_t max_new_tokens = 128;
  double sampling_temperature = 0.9, sampling_top_p = 1;
  int64_t sampling_top_k = 0;
  std::string cross_vocabulary = "false";
};

template <class V>
void fields(V& v, DistillConfig& c) {
  v("teacher_model_name_or_path", c.teacher_model_name_or_path,
    "folder of the teacher, or self: the student as it is before the first step");
  v("teacher_dtype", c.teacher_dtype, "type that the teacher computes in",
    one_of({"auto", "fp32", "bf16"}));
  v("teacher_shards", c.teacher_shards,
    "folders that lathe capture made of data.train, one for each source: the teacher is not "
    "loaded");
  v("divergence", c.divergence,
    "p teacher, q student: forward_kl: KL(p||q); reverse_kl: KL(q||p); jsd: with m = beta p + "
    "(1-beta) q, beta KL(p||m) + (1-beta) KL(q||m); skew_kl: KL(p||alpha p + (1-alpha) q); "
    "skew_reverse_kl: KL(q||(1-alpha) p + alpha q); tvd: half of sum |p-q|; alpha_beta: "
    "arXiv:2505.04560; minillm: the reverse KL of whole answers on the student's own, by policy "
    "gradient (arXiv:2306.08543), reverse_kl on the data's",
    one_of({"forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "tvd", "alpha_beta",
            "minillm"}));
  v("beta", c.beta,
    "of jsd (0: forward_kl, 1: reverse_kl; raw values between do not tend to those) and alpha_beta",
    between(0, 1));
  v("alpha", c.alpha, "of the skew divergences and alpha_beta", between(0, 1));
  v("scale", c.scale,
    "of jsd: raw, or normalised: divided by beta (1-beta), which tends to forward_kl and "
    "reverse_kl",
    one_of({"raw", "normalised"}));
  v("temperature", c.temperature, "both models' logits are divided by it", above(0));
  v("temperature_squared", c.temperature_squared,
    "times temperature^2, so that gradients keep their size");
  v("top_k", c.top_k,
    "only the teacher's k likeliest tokens; 0: all (with teacher_shards: all that they hold)",
    at_least(0));
  v("top_k_rest", c.top_k_rest,
    "what the other tokens are: tail: one token together, so that the divergence is a lower bound; "
    "renormalise: nothing, both distributions are made to sum to 1; renormalise_teacher: nothing "
    "in the teacher, the student keeps its full vocabulary",
    one_of({"tail", "renormalise", "renormalise_teacher"}));
  v("ce_weight", c.ce_weight,
    "share of cross entropy: ce_weight x CE + (1 - ce_weight) x divergence", between(0, 1));
  v("hidden_weight", c.hidden_weight,
    "times the distance of the student's hidden states from the teacher's, a mean over the pairs "
    "of layer_map, is added to a target's loss; where the sizes differ, a trained matrix for each "
    "pair, which is not exported, takes the student's to the teacher's size (TinyBERT, "
    "arXiv:1909.10351)",
    at_least(0));
  v("hidden_loss", c.hidden_loss,
    "mse: mean square of the difference; cosine: 1 - cosine (DistilBERT, arXiv:1910.01108)",
    one_of({"mse", "cosine"}));
  v("attention_weight", c.attention_weight,
    "the same of attention maps, after the softmax: a mean over heads and pairs", at_least(0));
  v("attention_loss", c.attention_loss,
    "kl: KL(teacher||student) of a token's map (MiniLM, arXiv:2002.10957); mse: mean square over "
    "the tokens it sees (TinyBERT)",
    one_of({"kl", "mse"}));
  v("attention_heads", c.attention_heads,
    "each: head by head, of which both models have as many; mean: the mean map of all heads",
    one_of({"each", "mean"}));
  v("layer_map", c.layer_map,
    "pairs student:teacher of layers: 0 the embedding, i the output of block i, the last one after "
    "the last norm; none: each block of the student's with that as far up the teacher");
  v("lmbda", c.lmbda,
    "share of steps that train on what the student itself answers to the data's prompts",
    between(0, 1));
  v("seq_kd", c.seq_kd,
    "sequence-level: the teacher answers the prompts of data.train once, before the first step, "
    "and its answers (kept in output_dir/seq_kd) stand in the data's place; with ce_weight 1 that "
    "is fine-tuning on them");
  v("teacher_mixed_alpha", c.teacher_mixed_alpha,
    "of minillm: answers are drawn from alpha p + (1-alpha) q and weighted for it; 0: from q",
    between(0, 1));
  v("gamma", c.gamma,
    "of minillm: a token's return is sum of gamma^k r over the tokens after it, r = log p - log q",
    between(0, 1));
  v("length_normalization", c.length_normalization,
    "of minillm: returns are divided by sum of gamma^k");
  v("single_step_decomposition", c.single_step_decomposition,
    "of minillm: a token's own part is the exact reverse KL; false: its r joins its return");
  v("max_new_tokens", c.max_new_tokens, "of an answer that is sampled", at_least(1));
  v("sampling_temperature", c.sampling_temperature, "of answers; 0: greedy", at_least(0));
  v("sampling_top_p", c.sampling_top_p, "of answers; 1: off", between(0, 1));
  v("sampling_top_k", c.sampling_top_k, "of answers; 0: off", at_least(0));
  v("cross_vocabulary", c.cross_vocabulary,
    "how a teacher with another tokenizer is met; false: not at all. It reads the student's text "
    "in "
    "its own tokens, and where both go on with one token of the same bytes, aligned compares the "
    "tokens that both vocabularies have (the rest as top_k_rest says), uld the probabilities in "
    "falling order, sum |p - q| (arXiv:2402.12030); elsewhere there is cross entropy only",
    one_of({"false", "uld", "aligned"}));
}

std::vector<Conflict> conflicts(const DistillConfig& config);

}  // namespace lathe

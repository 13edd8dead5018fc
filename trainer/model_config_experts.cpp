#include "trainer/model_config_experts.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int64_t kMaxExperts = 65536;

// Layers without experts: those listed, and all but every decoder_sparse_step-th.
std::vector<bool> parse_dense_layers(const Fields& fields, int64_t layers) {
  const int64_t step = fields.size("decoder_sparse_step", 4096, 1);
  const std::vector<int64_t> listed = fields.ids("mlp_only_layers", {});
  std::vector<bool> dense(layers);
  for (int64_t i = 0; i < layers; ++i) {
    dense[i] = (i + 1) % step != 0 || std::find(listed.begin(), listed.end(), i) != listed.end();
  }
  if (std::find(dense.begin(), dense.end(), true) == dense.end()) dense.clear();
  return dense;
}

}  // namespace

void parse_experts(const Fields& fields, ModelConfig& config, ExpertKeys keys) {
  if (keys == ExpertKeys::kNone) return;
  const bool qwen = keys == ExpertKeys::kQwen;
  config.num_experts = qwen ? fields.size("num_experts", kMaxExperts, 128)
                            : fields.size("num_local_experts", kMaxExperts, 8);
  config.num_experts_per_tok = fields.size("num_experts_per_tok", kMaxExperts, qwen ? 8 : 2);
  if (config.num_experts_per_tok > config.num_experts) {
    fields.fail("num_experts_per_tok", "is " + std::to_string(config.num_experts_per_tok) +
                                           " but there are " + std::to_string(config.num_experts) +
                                           " experts");
  }
  config.moe_intermediate_size =
      qwen ? fields.size("moe_intermediate_size", int64_t{1} << 22, 768) : config.intermediate_size;
  config.norm_topk_prob = !qwen || fields.boolean("norm_topk_prob", false);
  if (qwen) config.dense_layers = parse_dense_layers(fields, config.num_hidden_layers);
  config.router_aux_loss_coef = fields.number("router_aux_loss_coef", 0.001, 0);
  config.output_router_logits = fields.boolean("output_router_logits", false);
  if (fields.number("router_jitter_noise", 0, 0) != 0) {
    fields.fail("router_jitter_noise", "is " + shown(fields.at("router_jitter_noise")) +
                                           ", which is not supported; only 0 is");
  }
}

void dump_experts(const ModelConfig& config, Json& json, ExpertKeys keys) {
  if (keys == ExpertKeys::kNone) return;
  const bool qwen = keys == ExpertKeys::kQwen;
  json[qwen ? "num_experts" : "num_local_experts"] = config.num_experts;
  json["num_experts_per_tok"] = config.num_experts_per_tok;
  json["router_aux_loss_coef"] = config.router_aux_loss_coef;
  json["output_router_logits"] = config.output_router_logits;
  if (!qwen) return;
  json["moe_intermediate_size"] = config.moe_intermediate_size;
  json["norm_topk_prob"] = config.norm_topk_prob;
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = Json::array();
  for (size_t i = 0; i < config.dense_layers.size(); ++i) {
    if (config.dense_layers[i]) json["mlp_only_layers"].push_back(i);
  }
}

}  // namespace lathe

#include "trainer/model_config_gpt2.h"

namespace lathe {

void parse_gpt2(const Fields& fields, ModelConfig& config) {
  config.vocab_size = fields.size("vocab_size", int64_t{1} << 24);
  config.hidden_size = fields.size("n_embd", int64_t{1} << 20);
  config.num_hidden_layers = fields.size("n_layer", 4096);
  config.num_attention_heads = config.num_key_value_heads = fields.size("n_head", 65536);
  config.max_position_embeddings = fields.size("n_positions", int64_t{1} << 24, 1024);
  config.intermediate_size = fields.size("n_inner", int64_t{1} << 22, 4 * config.hidden_size);
  config.rms_norm_eps = fields.number("layer_norm_epsilon", 1e-5, 0);
  if (config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("n_embd", "is " + std::to_string(config.hidden_size) +
                              ", not a multiple of n_head " +
                              std::to_string(config.num_attention_heads));
  }
  config.head_dim = config.hidden_size / config.num_attention_heads;
  if (!fields.boolean("scale_attn_weights", true)) {
    fields.fail("scale_attn_weights", "is false, which is not supported");
  }
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    if (fields.boolean(key, false)) fields.fail(key, "is true, which is not supported");
  }
}

void dump_gpt2(const ModelConfig& config, Json& json) {
  json["n_embd"] = config.hidden_size;
  json["n_layer"] = config.num_hidden_layers;
  json["n_head"] = config.num_attention_heads;
  json["n_positions"] = config.max_position_embeddings;
  const bool usual = config.intermediate_size == 4 * config.hidden_size;
  json["n_inner"] = usual ? Json() : Json(config.intermediate_size);
  json["layer_norm_epsilon"] = config.rms_norm_eps;
}

}  // namespace lathe

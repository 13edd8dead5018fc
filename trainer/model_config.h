#pragma once

#include <cstdint>
#include <string>
#include <vector>

// config.json of a Hugging Face folder, in the spellings of transformers 4 and 5. Keys that are
// absent take the defaults of the family's class in transformers. After parsing, sizes are
// positive, heads divide, and no product of two overflows.
namespace lathe {

struct RopeScaling {
  std::string type = "default";  // default | linear | dynamic | llama3 | yarn | longrope
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_max_position_embeddings = 0;  // yarn, dynamic, longrope: never 0 after parsing
  double attention_factor = 0, beta_fast = 32,
         beta_slow = 1;  // attention_factor 0: the class's default
  // longrope: what each frequency is divided by, in sequences up to the original length and beyond.
  std::vector<double> short_factor = {}, long_factor = {};

  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  std::string model_type;
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6, rope_theta = 10000, initializer_range = 0.02;
  RopeScaling rope_scaling;
  double partial_rotary_factor = 1;  // the part of each head that is turned
  double rope_local_theta = 0;       // of layers with a window; 0: rope_theta too
  int64_t sliding_window = 0;        // tokens a token sees, itself among them; 0: all before it
  std::vector<bool> sliding_layers;  // empty: none has the window
  std::vector<bool> rope_layers;     // empty: all turn positions
  double attention_softcap = 0, logit_softcap = 0;  // 0: none
  double query_pre_attn_scalar = 0;                 // 0: head_dim
  // Of the layers that have experts in the place of the MLP; num_experts 0: none has.
  int64_t num_experts = 0, num_experts_per_tok = 0, moe_intermediate_size = 0;
  bool norm_topk_prob = true;         // the chosen experts' weights are made to sum to 1
  std::vector<bool> dense_layers;     // empty: all have experts, if there are any
  double router_aux_loss_coef = 0;    // of the balance of the experts' load,
  bool output_router_logits = false;  // which joins the loss only if this is asked for
  bool tie_word_embeddings = false, attention_bias = false, mlp_bias = false;
  std::vector<int64_t> eos_token_id;
  int64_t bos_token_id = -1, pad_token_id = -1;  // -1: none
  std::string dtype = "float32";  // of the stored weights: float32 | bfloat16 | float16
  std::string
      source;  // the whole config.json as it was read: keys that are not ours are carried along

  bool slides(int64_t layer) const { return !sliding_layers.empty() && sliding_layers[layer]; }
  bool rotates(int64_t layer) const { return rope_layers.empty() || rope_layers[layer]; }
  bool has_experts(int64_t layer) const {
    return num_experts > 0 && (dense_layers.empty() || !dense_layers[layer]);
  }
  bool operator==(const ModelConfig&) const = default;
};

// Reads <folder>/config.json. A key that changes the mathematics and is not supported is
// std::invalid_argument, by name.
ModelConfig read_model_config(const std::string& folder);
// From JSON text; `where` names it in messages.
ModelConfig parse_model_config(const std::string& json, const std::string& where);
// In transformers 5's spelling with 4's beside it, so that both read the same; parse_model_config
// gives the config back.
std::string dump_model_config(const ModelConfig& config);

}  // namespace lathe

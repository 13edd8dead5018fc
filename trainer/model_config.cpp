#include "trainer/model_config.h"

#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "trainer/json_fields.h"
#include "trainer/model_config_experts.h"
#include "trainer/model_config_gpt2.h"
#include "trainer/model_config_layers.h"
#include "trainer/model_config_rope.h"

namespace lathe {
namespace {

constexpr uint64_t kMaxConfigBytes = 16 << 20;

constexpr std::string_view kGpt2 = "gpt2";  // has names of its own: model_config_gpt2.h
constexpr const char* kActivation = "hidden_activation";
constexpr std::string_view kSilu = "silu", kGeluTanh = "gelu_pytorch_tanh";

// What a family's class in transformers assumes for an absent key, and how it names things.
struct Family {
  std::string_view model_type, architecture;
  int64_t max_position_embeddings;
  double rms_norm_eps, rope_theta;
  bool tie_word_embeddings;
  int64_t bos_token_id, eos_token_id, pad_token_id = -1;  // -1: none
  int64_t head_dim = 0;                                   // 0: hidden_size / num_attention_heads
  LayerKeys layers = {};
  double rope_local_theta = 0;  // 0: one base for all layers
  bool partial_rotary = false;
  const char* activation_key = "hidden_act";
  std::string_view activation = kSilu;
  double query_pre_attn_scalar = 0;                 // 0: the family has no such key
  double attention_softcap = 0, logit_softcap = 0;  // 0: none
  ExpertKeys experts = ExpertKeys::kNone;
};

constexpr Family kFamilies[] = {
    {"llama", "LlamaForCausalLM", 2048, 1e-6, 10000, false, 1, 2},
    {"qwen2",
     "Qwen2ForCausalLM",
     32768,
     1e-6,
     10000,
     false,
     -1,
     -1,
     -1,
     0,
     {Windows::kFlagged, 4096}},
    {"qwen3",
     "Qwen3ForCausalLM",
     32768,
     1e-6,
     10000,
     false,
     -1,
     -1,
     -1,
     128,
     {Windows::kFlagged, 4096}},
    {"mistral",
     "MistralForCausalLM",
     131072,
     1e-6,
     10000,
     false,
     1,
     2,
     -1,
     0,
     {Windows::kAll, 4096}},
    {"phi3",
     "Phi3ForCausalLM",
     4096,
     1e-5,
     10000,
     false,
     1,
     32000,
     32000,
     0,
     {Windows::kAll},
     0,
     true},
    {"gemma2",
     "Gemma2ForCausalLM",
     8192,
     1e-6,
     10000,
     true,
     2,
     1,
     0,
     256,
     {Windows::kPattern, 4096, 2},
     0,
     false,
     kActivation,
     kGeluTanh,
     256,
     50,
     30},
    {"gemma3_text",
     "Gemma3ForCausalLM",
     131072,
     1e-6,
     1e6,
     true,
     2,
     1,
     0,
     256,
     {Windows::kPattern, 4096, 6},
     10000,
     false,
     kActivation,
     kGeluTanh,
     256},
    {"olmo2", "Olmo2ForCausalLM", 2048, 1e-5, 10000, false, -1, 50279, 1},
    {"smollm3",
     "SmolLM3ForCausalLM",
     32768,
     1e-6,
     2e6,
     true,
     128000,
     128001,
     128004,
     0,
     {Windows::kFlagged, 4096, 0, true}},
    {.model_type = "mixtral",
     .architecture = "MixtralForCausalLM",
     .max_position_embeddings = 131072,
     .rms_norm_eps = 1e-5,
     .rope_theta = 1e6,
     .tie_word_embeddings = false,
     .bos_token_id = 1,
     .eos_token_id = 2,
     .layers = {Windows::kAll},
     .experts = ExpertKeys::kMixtral},
    {.model_type = "qwen3_moe",
     .architecture = "Qwen3MoeForCausalLM",
     .max_position_embeddings = 32768,
     .rms_norm_eps = 1e-6,
     .rope_theta = 10000,
     .tie_word_embeddings = false,
     .bos_token_id = -1,
     .eos_token_id = -1,
     .layers = {Windows::kFlaggedAll, 4096},
     .experts = ExpertKeys::kQwen},
    {kGpt2,
     "GPT2LMHeadModel",
     1024,
     1e-5,
     10000,
     true,
     50256,
     50256,
     -1,
     0,
     {},
     0,
     false,
     "activation_function",
     "gelu_new"},
};

// What an absent num_key_value_heads means where it is not num_attention_heads.
constexpr std::pair<std::string_view, int64_t> kKeyValueHeads[] = {
    {"mistral", 8},   {"mixtral", 8}, {"qwen2", 32},      {"qwen3", 32},
    {"qwen3_moe", 4}, {"gemma2", 4},  {"gemma3_text", 4}, {"smollm3", 4}};

int64_t default_key_value_heads(const Fields& fields, const Family& family, int64_t heads) {
  if (fields.mentions("num_key_value_heads")) return heads;  // null
  for (const auto& [model_type, count] : kKeyValueHeads) {
    if (model_type == family.model_type) return count;
  }
  return heads;
}

const Family& family_of(const std::string& model_type, const std::string& where) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw std::invalid_argument(where + ": model_type is \"" + model_type + "\"; supported are " +
                              known);
}

// Keys that would change what the model computes, and the values under which they do not.
void refuse_unsupported(const Fields& fields, const Family& family) {
  const auto refuse = [&](const char* key, const std::string& only) {
    fields.fail(key, "is " + shown(fields.at(key)) + ", which is not supported; only " + only);
  };
  if (fields.has("quantization_config"))
    refuse("quantization_config", "unquantised weights are; convert them first");
  const std::string act = fields.text(family.activation_key, std::string(family.activation));
  if (act != family.activation && !(act == "swish" && family.activation == kSilu)) {
    refuse(family.activation_key, "\"" + std::string(family.activation) + "\" is");
  }
  if (fields.number("attention_dropout", 0, 0) != 0) refuse("attention_dropout", "0 is");
  if (fields.integer("pretraining_tp", 1) > 1) refuse("pretraining_tp", "1 is");
  if (fields.boolean("use_bidirectional_attention", false)) {
    refuse("use_bidirectional_attention", "false is");
  }
  if (family.attention_softcap == 0 && fields.has("attn_logit_softcapping")) {
    refuse("attn_logit_softcapping", "null is");
  }
  if (family.query_pre_attn_scalar == 0 && fields.has("final_logit_softcapping")) {
    refuse("final_logit_softcapping", "null is");
  }
  for (const char* key : {"resid_pdrop", "embd_pdrop"}) {
    if (family.model_type == kGpt2) break;  // every file of it asks for dropout
    if (fields.number(key, 0, 0) != 0) refuse(key, "0 is");
  }
}

std::string parse_dtype(const Fields& fields) {
  const std::string old = fields.text("torch_dtype", ""), dtype = fields.text("dtype", old);
  if (!old.empty() && old != dtype)
    fields.fail("torch_dtype", "is " + old + " but dtype is " + dtype + "; remove one");
  if (dtype.empty() || dtype == "auto") return "float32";
  const std::string plain = dtype.starts_with("torch.") ? dtype.substr(6) : dtype;
  if (plain != "float32" && plain != "bfloat16" && plain != "float16") {
    fields.fail("dtype", "is \"" + dtype + "\"; supported are float32, bfloat16, float16");
  }
  return plain;
}

void parse_sizes(const Fields& fields, ModelConfig& config, const Family& family) {
  config.vocab_size = fields.size("vocab_size", int64_t{1} << 24);
  config.hidden_size = fields.size("hidden_size", int64_t{1} << 20);
  config.intermediate_size = fields.size("intermediate_size", int64_t{1} << 22);
  config.num_hidden_layers = fields.size("num_hidden_layers", 4096);
  config.num_attention_heads = fields.size("num_attention_heads", 65536);
  config.num_key_value_heads =
      fields.size("num_key_value_heads", 65536,
                  default_key_value_heads(fields, family, config.num_attention_heads));
  config.max_position_embeddings =
      fields.size("max_position_embeddings", int64_t{1} << 40, family.max_position_embeddings);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.fail("num_attention_heads", "is " + std::to_string(config.num_attention_heads) +
                                           ", not a multiple of num_key_value_heads " +
                                           std::to_string(config.num_key_value_heads));
  }
  if (!fields.has("head_dim") && (family.head_dim == 0 || fields.mentions("head_dim")) &&
      config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("hidden_size", "is " + std::to_string(config.hidden_size) +
                                   ", not a multiple of num_attention_heads " +
                                   std::to_string(config.num_attention_heads) +
                                   ", and head_dim is absent");
  }
  const bool given = family.head_dim > 0 && !fields.mentions("head_dim");
  config.head_dim = fields.size(
      "head_dim", 65536, given ? family.head_dim : config.hidden_size / config.num_attention_heads);
  if (config.head_dim % 2 != 0) fields.fail("head_dim", "is odd; rotary embeddings need pairs");
}

// Gemma's. null, unlike an absent key, means none.
void parse_scores(const Fields& fields, ModelConfig& config, const Family& family) {
  const auto positive = [&](const char* key, double fallback) {
    if (fields.mentions(key) && !fields.has(key)) return 0.0;
    const double value = fields.number(key, fallback, 0);
    if (value == 0 && fields.has(key)) fields.fail(key, "is not positive");
    return value;
  };
  if (family.query_pre_attn_scalar == 0) return;
  config.query_pre_attn_scalar = positive("query_pre_attn_scalar", family.query_pre_attn_scalar);
  config.attention_softcap = positive("attn_logit_softcapping", family.attention_softcap);
  config.logit_softcap = positive("final_logit_softcapping", family.logit_softcap);
}

void dump_scores(const ModelConfig& config, Json& json, const Family& family) {
  if (family.query_pre_attn_scalar == 0) return;
  const auto number = [](double value) { return value == 0 ? Json() : Json(value); };
  json["query_pre_attn_scalar"] = number(config.query_pre_attn_scalar);
  json["attn_logit_softcapping"] = number(config.attention_softcap);
  json["final_logit_softcapping"] = number(config.logit_softcap);
}

void parse_decoder(const Fields& fields, ModelConfig& config, const Family& family) {
  parse_sizes(fields, config, family);
  config.rms_norm_eps = fields.number("rms_norm_eps", family.rms_norm_eps, 0);
  config.rope_theta = family.rope_theta;
  config.rope_local_theta = family.rope_local_theta;
  parse_rope(fields, config, family.partial_rotary);
  parse_layers(fields, config, family.layers);
  parse_scores(fields, config, family);
  parse_experts(fields, config, family.experts);
  config.attention_bias = fields.boolean("attention_bias", false);
  config.mlp_bias = fields.boolean("mlp_bias", false);
}

void dump_decoder(const ModelConfig& config, Json& json, const Family& family) {
  json["hidden_size"] = config.hidden_size;
  json["intermediate_size"] = config.intermediate_size;
  json["num_hidden_layers"] = config.num_hidden_layers;
  json["num_attention_heads"] = config.num_attention_heads;
  json["num_key_value_heads"] = config.num_key_value_heads;
  json["head_dim"] = config.head_dim;
  json["max_position_embeddings"] = config.max_position_embeddings;
  json["rms_norm_eps"] = config.rms_norm_eps;
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  dump_rope(config, json);
  dump_layers(config, json, family.layers);
  dump_scores(config, json, family);
  dump_experts(config, json, family.experts);
}

std::vector<int64_t> default_ids(int64_t id) {
  return id < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{id};
}

}  // namespace

ModelConfig parse_model_config(const std::string& json, const std::string& where) {
  const Json object = parse_json_object(json, where);
  const Fields fields(object, where);
  if (!fields.has("model_type")) fields.fail("model_type", "is missing");
  const Family& family = family_of(fields.text("model_type", ""), where);
  refuse_unsupported(fields, family);

  ModelConfig config;
  config.model_type = family.model_type;
  config.source = json;
  config.initializer_range = fields.number("initializer_range", 0.02, 0);
  family.model_type == kGpt2 ? parse_gpt2(fields, config) : parse_decoder(fields, config, family);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", family.tie_word_embeddings);
  config.eos_token_id = fields.ids("eos_token_id", default_ids(family.eos_token_id));
  config.bos_token_id = fields.optional_id("bos_token_id", family.bos_token_id);
  config.pad_token_id = fields.optional_id("pad_token_id", family.pad_token_id);
  config.dtype = parse_dtype(fields);
  return config;
}

ModelConfig read_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  if (!std::filesystem::exists(path)) {
    throw std::invalid_argument(path +
                                ": not there; a Hugging Face model folder has a config.json");
  }
  return parse_model_config(read_text_file(path, kMaxConfigBytes), path);
}

std::string dump_model_config(const ModelConfig& config) {
  const Family& family = family_of(config.model_type, "model config");
  Json json =
      config.source.empty() ? Json::object() : parse_json_object(config.source, "model config");
  if (!json.contains("architectures")) json["architectures"] = {std::string(family.architecture)};
  if (!json.contains(family.activation_key)) json[family.activation_key] = family.activation;
  json["model_type"] = config.model_type;
  json["dtype"] = json["torch_dtype"] = config.dtype;
  json["vocab_size"] = config.vocab_size;
  json["initializer_range"] = config.initializer_range;
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["bos_token_id"] = config.bos_token_id < 0 ? Json() : Json(config.bos_token_id);
  json["pad_token_id"] = config.pad_token_id < 0 ? Json() : Json(config.pad_token_id);
  const auto& eos = config.eos_token_id;
  json["eos_token_id"] = eos.empty() ? Json() : eos.size() == 1 ? Json(eos[0]) : Json(eos);
  family.model_type == kGpt2 ? dump_gpt2(config, json) : dump_decoder(config, json, family);
  return json.dump(2) + "\n";
}

}  // namespace lathe

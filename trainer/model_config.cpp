#include "trainer/model_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace lathe {
namespace {

using Json = nlohmann::json;

constexpr uintmax_t kMaxConfigBytes = 16 << 20;
constexpr int kMaxConfigDepth = 32;

// What a family's class in transformers assumes for an absent key. A family to come adds a line.
struct Family {
  std::string_view model_type, architecture;
  int64_t max_position_embeddings;
  double rms_norm_eps, rope_theta;
  bool tie_word_embeddings;
  int64_t bos_token_id, eos_token_id;
};

constexpr Family kFamilies[] = {
    {"llama", "LlamaForCausalLM", 2048, 1e-6, 10000, false, 1, 2},
};

const Family& family_of(const std::string& model_type, const std::string& where) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw std::invalid_argument(where + ": model_type is \"" + model_type + "\"; supported are " +
                              known);
}

// One JSON object, read by key with the type that is expected; null counts as absent, as in
// transformers.
class Fields {
 public:
  Fields(const Json& object, std::string where, std::string prefix = "")
      : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {}

  [[noreturn]] void fail(const std::string& key, const std::string& reason) const {
    throw std::invalid_argument(where_ + ": " + prefix_ + key + " " + reason);
  }
  bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
  const Json& at(const char* key) const { return object_.at(key); }

  [[noreturn]] void wrong_type(const char* key, const char* expected) const {
    fail(key, "is " + at(key).dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60) +
                  " but " + expected + " is expected");
  }
  int64_t integer(const char* key, int64_t fallback) const {
    if (!has(key)) return fallback;
    if (!fits(at(key))) wrong_type(key, "an integer");
    return at(key).get<int64_t>();
  }
  // Positive and bounded, so that sizes can be multiplied without a thought.
  int64_t size(const char* key, int64_t most) const {
    if (!has(key)) fail(key, "is missing");
    return size(key, most, 0);
  }
  int64_t size(const char* key, int64_t most, int64_t fallback) const {
    const int64_t value = integer(key, fallback);
    if (value < 1 || value > most) {
      fail(key,
           "is " + std::to_string(value) + " but 1 to " + std::to_string(most) + " is expected");
    }
    return value;
  }
  double number(const char* key, double fallback, double least) const {
    if (!has(key)) return fallback;
    if (!at(key).is_number()) wrong_type(key, "a number");
    const double value = at(key).get<double>();
    if (!std::isfinite(value) || value < least)
      fail(key, "is " + at(key).dump() + ", which is out of range");
    return value;
  }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!at(key).is_boolean()) wrong_type(key, "true or false");
    return at(key).get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    if (!has(key)) return fallback;
    if (!at(key).is_string()) wrong_type(key, "a string");
    return at(key).get<std::string>();
  }
  std::vector<int64_t> ids(const char* key, std::vector<int64_t> fallback) const {
    if (!object_.contains(key)) return fallback;
    if (!has(key)) return {};
    if (!at(key).is_array()) return {id(key, at(key))};
    std::vector<int64_t> out;
    for (const Json& value : at(key)) out.push_back(id(key, value));
    return out;
  }
  // The original LLaMA writes -1 for "none".
  int64_t optional_id(const char* key, int64_t fallback) const {
    if (!object_.contains(key)) return fallback;
    if (!has(key)) return -1;
    return integer(key, -1) < 0 ? -1 : id(key, at(key));
  }
  Fields section(const char* key) const {
    if (!at(key).is_object()) wrong_type(key, "an object");
    return Fields(at(key), where_, prefix_ + key + ".");
  }

 private:
  static bool fits(const Json& value) {
    return value.is_number_integer() && !(value.is_number_unsigned() &&
                                          value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  }
  int64_t id(const char* key, const Json& value) const {
    if (!fits(value) || value.get<int64_t>() < 0) wrong_type(key, "a token id");
    return value.get<int64_t>();
  }

  const Json& object_;
  std::string where_, prefix_;
};

Json parse_json(const std::string& text, const std::string& where) {
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxConfigDepth) throw std::invalid_argument(where + ": nested too deeply");
    return true;
  };
  try {
    Json json = Json::parse(text, shallow);
    if (!json.is_object()) throw std::invalid_argument(where + ": a JSON object is expected");
    return json;
  } catch (const Json::exception& error) {
    throw std::invalid_argument(where + ": " + error.what());
  }
}

// Keys that would change what the model computes, and the values under which they do not.
void refuse_unsupported(const Fields& fields) {
  const auto refuse = [&](const char* key, const std::string& only) {
    const std::string found = fields.at(key).dump(-1, ' ', false, Json::error_handler_t::replace);
    fields.fail(key, "is " + found.substr(0, 60) + ", which is not supported; only " + only);
  };
  if (fields.has("quantization_config"))
    refuse("quantization_config", "unquantised weights are; convert them first");
  const std::string act = fields.text("hidden_act", "silu");
  if (act != "silu" && act != "swish") refuse("hidden_act", "\"silu\" is");
  if (fields.number("attention_dropout", 0, 0) != 0) refuse("attention_dropout", "0 is");
  if (fields.integer("pretraining_tp", 1) > 1) refuse("pretraining_tp", "1 is");
  if (fields.number("partial_rotary_factor", 1, 0) != 1) refuse("partial_rotary_factor", "1 is");
  if (fields.has("layer_types")) {
    const Json& types = fields.at("layer_types");
    if (!types.is_array() || std::any_of(types.begin(), types.end(),
                                         [](const Json& t) { return t != "full_attention"; })) {
      refuse("layer_types", "\"full_attention\" is");
    }
  }
}

RopeScaling parse_rope_scaling(const Fields& fields, int64_t max_position) {
  RopeScaling rope;
  rope.type = fields.text("rope_type", fields.text("type", "default"));
  static constexpr std::string_view kSupported[] = {"default", "linear", "dynamic", "llama3",
                                                    "yarn"};
  if (std::find(std::begin(kSupported), std::end(kSupported), rope.type) == std::end(kSupported)) {
    fields.fail("rope_type",
                "is \"" + rope.type + "\"; supported are default, linear, dynamic, llama3, yarn");
  }
  if (!fields.boolean("truncate", true))
    fields.fail("truncate", "is false, which is not supported");
  if (fields.number("partial_rotary_factor", 1, 0) != 1)
    fields.fail("partial_rotary_factor", "other than 1 is not supported");
  if (rope.type == "default") return rope;

  const bool yarn = rope.type == "yarn", llama3 = rope.type == "llama3";
  if (llama3 || fields.has("original_max_position_embeddings")) {
    rope.original_max_position_embeddings =
        fields.size("original_max_position_embeddings", int64_t{1} << 40);
  } else if (yarn || rope.type == "dynamic") {
    rope.original_max_position_embeddings = max_position;
  }
  if (!fields.has("factor") && !yarn) fields.fail("factor", "is missing");
  const double ratio =
      yarn ? double(max_position) / double(rope.original_max_position_embeddings) : 1;
  rope.factor = fields.number("factor", ratio, 0);
  if (rope.factor == 0) fields.fail("factor", "is 0");
  for (const char* key : {"low_freq_factor", "high_freq_factor"}) {
    if (llama3 && !fields.has(key)) fields.fail(key, "is missing");
  }
  rope.low_freq_factor = fields.number("low_freq_factor", rope.low_freq_factor, 0);
  rope.high_freq_factor = fields.number("high_freq_factor", rope.high_freq_factor, 0);
  if (llama3 && !(rope.low_freq_factor > 0 && rope.low_freq_factor < rope.high_freq_factor)) {
    fields.fail("low_freq_factor", "must be positive and below high_freq_factor");
  }
  rope.beta_fast = fields.number("beta_fast", rope.beta_fast, 0);
  rope.beta_slow = fields.number("beta_slow", rope.beta_slow, 0);
  rope.attention_factor = fields.number("attention_factor", 0, 0);
  // DeepSeek's pair of scales stands for an attention factor (Peng et al. 2023, as in transformers'
  // rope utilities).
  if (yarn && rope.attention_factor == 0 && fields.has("mscale") && fields.has("mscale_all_dim")) {
    const auto scale = [&](double m) {
      return rope.factor <= 1 ? 1.0 : 0.1 * m * std::log(rope.factor) + 1;
    };
    const double mscale = fields.number("mscale", 0, 0),
                 all = fields.number("mscale_all_dim", 0, 0);
    if (mscale != 0 && all != 0) rope.attention_factor = scale(mscale) / scale(all);
  }
  return rope;
}

// v4: rope_theta and rope_scaling; v5: rope_parameters. A file with both must mean one thing.
void parse_rope(const Fields& fields, ModelConfig& config) {
  const auto theta = [&](const Fields& from, double fallback) {
    const double value = from.number("rope_theta", fallback, 0);
    if (value <= 0) from.fail("rope_theta", "is not positive");
    return value;
  };
  config.rope_theta = theta(fields, config.rope_theta);
  if (fields.has("rope_scaling")) {
    config.rope_scaling =
        parse_rope_scaling(fields.section("rope_scaling"), config.max_position_embeddings);
  }
  if (!fields.has("rope_parameters")) return;
  const Fields block = fields.section("rope_parameters");
  if (block.has("full_attention") || block.has("sliding_attention")) {
    fields.fail("rope_parameters", "differs by layer type, which is not supported");
  }
  const double block_theta = theta(block, config.rope_theta);
  const RopeScaling scaling = parse_rope_scaling(block, config.max_position_embeddings);
  if (fields.has("rope_theta") && block_theta != config.rope_theta) {
    fields.fail("rope_theta", "and rope_parameters.rope_theta disagree; remove one");
  }
  if (fields.has("rope_scaling") && scaling != config.rope_scaling) {
    fields.fail("rope_scaling", "and rope_parameters disagree; remove one");
  }
  config.rope_theta = block_theta;
  config.rope_scaling = scaling;
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
      fields.size("num_key_value_heads", 65536, config.num_attention_heads);
  config.max_position_embeddings =
      fields.size("max_position_embeddings", int64_t{1} << 40, family.max_position_embeddings);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.fail("num_attention_heads", "is " + std::to_string(config.num_attention_heads) +
                                           ", not a multiple of num_key_value_heads " +
                                           std::to_string(config.num_key_value_heads));
  }
  if (!fields.has("head_dim") && config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("hidden_size", "is " + std::to_string(config.hidden_size) +
                                   ", not a multiple of num_attention_heads " +
                                   std::to_string(config.num_attention_heads) +
                                   ", and head_dim is absent");
  }
  config.head_dim = fields.size("head_dim", 65536, config.hidden_size / config.num_attention_heads);
  if (config.head_dim % 2 != 0) fields.fail("head_dim", "is odd; rotary embeddings need pairs");
}

Json rope_block(const ModelConfig& config, Json block) {
  const RopeScaling& rope = config.rope_scaling;
  block.erase("type");
  block["rope_type"] = rope.type;
  if (rope.type == "default") return block;
  block["factor"] = rope.factor;
  if (rope.original_max_position_embeddings > 0) {
    block["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  if (rope.type == "llama3") {
    block["low_freq_factor"] = rope.low_freq_factor;
    block["high_freq_factor"] = rope.high_freq_factor;
  }
  if (rope.type == "yarn") {
    block["beta_fast"] = rope.beta_fast;
    block["beta_slow"] = rope.beta_slow;
    if (rope.attention_factor != 0) block["attention_factor"] = rope.attention_factor;
  }
  return block;
}

void dump_rope(const ModelConfig& config, Json& json) {
  Json source = Json::object();
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (json.contains(key) && json[key].is_object()) source.update(json[key]);
  }
  Json v4 = rope_block(config, source);
  v4.erase("rope_theta");
  json["rope_theta"] = config.rope_theta;
  json["rope_scaling"] = config.rope_scaling.type == "default" ? Json() : v4;
  json["rope_parameters"] = rope_block(config, std::move(source));
  json["rope_parameters"]["rope_theta"] = config.rope_theta;
}

}  // namespace

ModelConfig parse_model_config(const std::string& json, const std::string& where) {
  const Json object = parse_json(json, where);
  const Fields fields(object, where);
  if (!fields.has("model_type")) fields.fail("model_type", "is missing");
  const Family& family = family_of(fields.text("model_type", ""), where);
  refuse_unsupported(fields);

  ModelConfig config;
  config.model_type = family.model_type;
  config.source = json;
  parse_sizes(fields, config, family);
  config.rms_norm_eps = fields.number("rms_norm_eps", family.rms_norm_eps, 0);
  config.initializer_range = fields.number("initializer_range", 0.02, 0);
  config.rope_theta = family.rope_theta;
  parse_rope(fields, config);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", family.tie_word_embeddings);
  config.attention_bias = fields.boolean("attention_bias", false);
  config.mlp_bias = fields.boolean("mlp_bias", false);
  config.eos_token_id = fields.ids("eos_token_id", {family.eos_token_id});
  config.bos_token_id = fields.optional_id("bos_token_id", family.bos_token_id);
  config.pad_token_id = fields.optional_id("pad_token_id", -1);
  config.dtype = parse_dtype(fields);
  return config;
}

ModelConfig read_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error)
    throw std::invalid_argument(path + ": " + error.message() +
                                "; a Hugging Face model folder has a config.json");
  if (bytes > kMaxConfigBytes)
    throw std::invalid_argument(path + ": larger than 16 MiB; this is no config.json");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return parse_model_config(text.str(), path);
}

std::string dump_model_config(const ModelConfig& config) {
  const Family& family = family_of(config.model_type, "model config");
  Json json = config.source.empty() ? Json::object() : parse_json(config.source, "model config");
  if (!json.contains("architectures")) json["architectures"] = {std::string(family.architecture)};
  if (!json.contains("hidden_act")) json["hidden_act"] = "silu";
  json["model_type"] = config.model_type;
  json["dtype"] = json["torch_dtype"] = config.dtype;
  json["vocab_size"] = config.vocab_size;
  json["hidden_size"] = config.hidden_size;
  json["intermediate_size"] = config.intermediate_size;
  json["num_hidden_layers"] = config.num_hidden_layers;
  json["num_attention_heads"] = config.num_attention_heads;
  json["num_key_value_heads"] = config.num_key_value_heads;
  json["head_dim"] = config.head_dim;
  json["max_position_embeddings"] = config.max_position_embeddings;
  json["rms_norm_eps"] = config.rms_norm_eps;
  json["initializer_range"] = config.initializer_range;
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  json["bos_token_id"] = config.bos_token_id < 0 ? Json() : Json(config.bos_token_id);
  json["pad_token_id"] = config.pad_token_id < 0 ? Json() : Json(config.pad_token_id);
  const auto& eos = config.eos_token_id;
  json["eos_token_id"] = eos.empty() ? Json() : eos.size() == 1 ? Json(eos[0]) : Json(eos);
  dump_rope(config, json);
  return json.dump(2) + "\n";
}

}  // namespace lathe

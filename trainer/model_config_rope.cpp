#include "trainer/model_config_rope.h"

#include <algorithm>
#include <cmath>

namespace lathe {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 40;

std::string parse_type(const Fields& fields) {
  std::string type = fields.text("rope_type", fields.text("type", "default"));
  // Phi-3's first files: one scaling under two other names.
  if (type == "su" || (type == "yarn" && fields.has("short_factor"))) type = "longrope";
  static constexpr std::string_view kSupported[] = {"default", "linear", "dynamic",
                                                    "llama3",  "yarn",   "longrope"};
  if (std::find(std::begin(kSupported), std::end(kSupported), type) == std::end(kSupported)) {
    fields.fail(
        "rope_type",
        "is \"" + type + "\"; supported are default, linear, dynamic, llama3, yarn, longrope");
  }
  return type;
}

double default_longrope_factor(const RopeScaling& rope, int64_t max_position) {
  return static_cast<double>(max_position) /
         static_cast<double>(rope.original_max_position_embeddings);
}

// The original length stands in the block, or beside it.
void parse_longrope(const Fields& fields, RopeScaling& rope, int64_t max_position,
                    int64_t original) {
  rope.original_max_position_embeddings =
      fields.size("original_max_position_embeddings", kMaxLength, original);
  rope.factor = fields.number("factor", default_longrope_factor(rope, max_position), 0);
  if (rope.factor == 0) fields.fail("factor", "is 0");
  rope.attention_factor = fields.number("attention_factor", 0, 0);
  rope.short_factor = fields.numbers("short_factor", 0);
  rope.long_factor = fields.numbers("long_factor", 0);
  for (const char* key : {"short_factor", "long_factor"}) {
    if (!fields.has(key)) fields.fail(key, "is missing");
    for (const double factor : fields.numbers(key, 0)) {
      if (factor == 0) fields.fail(key, "holds 0");
    }
  }
}

// `original`: original_max_position_embeddings beside the block, or max_position.
RopeScaling parse_rope_scaling(const Fields& fields, int64_t max_position, int64_t original) {
  RopeScaling rope;
  rope.type = parse_type(fields);
  if (!fields.boolean("truncate", true))
    fields.fail("truncate", "is false, which is not supported");
  if (rope.type == "default") return rope;
  if (rope.type == "longrope") {
    parse_longrope(fields, rope, max_position, original);
    return rope;
  }

  const bool yarn = rope.type == "yarn", llama3 = rope.type == "llama3";
  if (llama3 || fields.has("original_max_position_embeddings")) {
    rope.original_max_position_embeddings =
        fields.size("original_max_position_embeddings", kMaxLength);
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

double parse_theta(const Fields& fields, double fallback) {
  const double theta = fields.number("rope_theta", fallback, 0);
  if (theta <= 0) fields.fail("rope_theta", "is not positive");
  return theta;
}

RopeScaling parse_scaling(const Fields& fields, const ModelConfig& config, const Fields& block) {
  const int64_t original =
      fields.size("original_max_position_embeddings", kMaxLength, config.max_position_embeddings);
  return parse_rope_scaling(block, config.max_position_embeddings, original);
}

// v4's spelling of what rope_parameters says for layers with a window.
void parse_local(const Fields& fields, ModelConfig& config, const Fields& block) {
  const double theta = parse_theta(block, config.rope_local_theta);
  if (fields.has("rope_local_base_freq") && theta != config.rope_local_theta) {
    fields.fail("rope_local_base_freq", "and rope_parameters disagree; remove one");
  }
  if (parse_scaling(fields, config, block).type != "default") {
    block.fail("rope_type", "other than \"default\" is not supported for sliding layers");
  }
  config.rope_local_theta = theta;
}

void parse_block(const Fields& fields, ModelConfig& config, const Fields& block) {
  const double theta = parse_theta(block, config.rope_theta);
  const RopeScaling scaling = parse_scaling(fields, config, block);
  if (fields.has("rope_theta") && theta != config.rope_theta) {
    fields.fail("rope_theta", "and rope_parameters.rope_theta disagree; remove one");
  }
  if (fields.has("rope_scaling") && scaling != config.rope_scaling) {
    fields.fail("rope_scaling", "and rope_parameters disagree; remove one");
  }
  config.rope_theta = theta;
  config.rope_scaling = scaling;
}

void parse_partial(const Fields& fields, ModelConfig& config, double supported_from) {
  const double factor = fields.number("partial_rotary_factor", config.partial_rotary_factor, 0);
  if (factor < supported_from || factor > 1) {
    fields.fail("partial_rotary_factor", "is " + shown(factor) + ", which is not supported; " +
                                             (supported_from < 1 ? "up to 1 is" : "only 1 is"));
  }
  const auto turned = static_cast<int64_t>(static_cast<double>(config.head_dim) * factor);
  if (turned < 2 || turned % 2 != 0) {
    fields.fail("partial_rotary_factor", "turns " + std::to_string(turned) + " of head_dim " +
                                             std::to_string(config.head_dim) +
                                             " elements; rotary embeddings need pairs");
  }
  config.partial_rotary_factor = factor;
}

// One divisor for each pair that is turned.
void check_longrope(const Fields& fields, const ModelConfig& config) {
  const RopeScaling& rope = config.rope_scaling;
  if (rope.type != "longrope") return;
  const auto pairs =
      static_cast<size_t>(static_cast<double>(config.head_dim) * config.partial_rotary_factor) / 2;
  for (const auto& [key, list] :
       {std::pair("short_factor", rope.short_factor), std::pair("long_factor", rope.long_factor)}) {
    if (list.size() == pairs) continue;
    fields.fail(key, "of the rotary scaling has " + std::to_string(list.size()) + " entries but " +
                         std::to_string(pairs) + " pairs of a head are turned");
  }
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
  if (rope.type == "longrope") {
    block["short_factor"] = rope.short_factor;
    block["long_factor"] = rope.long_factor;
    if (rope.attention_factor != 0) block["attention_factor"] = rope.attention_factor;
  }
  return block;
}

// transformers 4 takes no more than type and factors for longrope, and the original length beside
// the block; what could not be derived from these is added all the same.
Json longrope_v4(const ModelConfig& config, Json& json) {
  const RopeScaling& rope = config.rope_scaling;
  json["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  Json block = {
      {"type", "longrope"}, {"short_factor", rope.short_factor}, {"long_factor", rope.long_factor}};
  if (rope.factor != default_longrope_factor(rope, config.max_position_embeddings)) {
    block["factor"] = rope.factor;
  }
  if (rope.attention_factor != 0) block["attention_factor"] = rope.attention_factor;
  return block;
}

void parse_keys(const Fields& fields, ModelConfig& config, bool partial) {
  const double partial_from = partial ? 0 : 1;
  config.rope_theta = parse_theta(fields, config.rope_theta);
  parse_partial(fields, config, partial_from);
  if (config.rope_local_theta > 0) {
    config.rope_local_theta = fields.number("rope_local_base_freq", config.rope_local_theta, 0);
    if (config.rope_local_theta <= 0) fields.fail("rope_local_base_freq", "is not positive");
  }
  if (fields.has("rope_scaling")) {
    const Fields block = fields.section("rope_scaling");
    config.rope_scaling = parse_scaling(fields, config, block);
    parse_partial(block, config, partial_from);
  }
  if (!fields.has("rope_parameters")) return;
  const Fields block = fields.section("rope_parameters");
  if (!block.has("full_attention") && !block.has("sliding_attention")) {
    // A flat block speaks for all layers; a family with two bases has no such form.
    if (config.rope_local_theta > 0) {
      fields.fail("rope_parameters", "needs full_attention and sliding_attention");
    }
    parse_block(fields, config, block);
    parse_partial(block, config, partial_from);
    return;
  }
  if (config.rope_local_theta == 0) {
    fields.fail("rope_parameters", "differs by layer type, which is not supported");
  }
  if (block.has("full_attention")) parse_block(fields, config, block.section("full_attention"));
  if (block.has("sliding_attention")) {
    parse_local(fields, config, block.section("sliding_attention"));
  }
}

}  // namespace

void parse_rope(const Fields& fields, ModelConfig& config, bool partial) {
  parse_keys(fields, config, partial);
  check_longrope(fields, config);
}

void dump_rope(const ModelConfig& config, Json& json) {
  Json source = Json::object();
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!json.contains(key) || !json[key].is_object()) continue;
    source.update(json[key].contains("full_attention") ? json[key]["full_attention"] : json[key]);
  }
  source.erase("sliding_attention");
  Json v4 = rope_block(config, source);
  v4.erase("rope_theta");
  if (config.rope_scaling.type == "longrope") v4 = longrope_v4(config, json);
  Json v5 = rope_block(config, std::move(source));
  v5["rope_theta"] = config.rope_theta;
  if (config.partial_rotary_factor != 1) {
    json["partial_rotary_factor"] = v5["partial_rotary_factor"] = config.partial_rotary_factor;
  }
  json["rope_theta"] = config.rope_theta;
  json["rope_scaling"] = config.rope_scaling.type == "default" ? Json() : v4;
  if (config.rope_local_theta == 0) {
    json["rope_parameters"] = v5;
    return;
  }
  json["rope_local_base_freq"] = config.rope_local_theta;
  json["rope_parameters"] = {
      {"full_attention", v5},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", config.rope_local_theta}}}};
}

}  // namespace lathe

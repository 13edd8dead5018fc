#include <algorithm>
#include <filesystem>

#include "trainer/json_fields.h"
#include "trainer/lora.h"

// adapter_config.json, as PEFT 0.20 has it.
namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 4 << 20;

std::string path_in(const std::string& folder) {
  return (fs::path(folder) / "adapter_config.json").string();
}

// A list of texts, one text, or null.
std::vector<std::string> texts(const Fields& fields, const char* key) {
  if (!fields.has(key)) return {};
  const Json& value = fields.at(key);
  if (value.is_string()) return {value.get<std::string>()};
  std::vector<std::string> result;
  if (!value.is_array()) fields.fail(key, "is " + shown(value) + "; expected names");
  for (const Json& each : value) {
    if (!each.is_string()) fields.fail(key, "holds " + shown(each) + "; expected names");
    result.push_back(each.get<std::string>());
  }
  return result;
}

std::vector<PatternValue> patterns(const Fields& fields, const char* key) {
  std::vector<PatternValue> result;
  if (!fields.has(key)) return result;
  if (!fields.at(key).is_object()) fields.fail(key, "is no object");
  for (const auto& [pattern, value] : fields.at(key).items()) {
    if (!value.is_number() || value.get<double>() <= 0)
      fields.fail(key, "gives " + shown(value) + " for " + shown(pattern));
    result.push_back({pattern, value.get<double>()});
  }
  return result;
}

// What would change the model's numbers and is not done here.
void refuse_unsupported(const Fields& fields) {
  if (fields.text("peft_type", "") != "LORA")
    fields.fail("peft_type", "is no LORA, the one kind that is read");
  if (fields.text("bias", "none") != "none")
    fields.fail("bias", "is not \"none\"; adapters with trained biases are not read");
  for (const char* key : {"lora_bias", "use_qalora", "use_bdlora", "layer_replication",
                          "target_parameters", "alora_invocation_tokens", "arrow_config",
                          "megatron_config", "kasa_config", "velora_config", "monteclora_config"}) {
    if (!fields.has(key)) continue;
    const Json& value = fields.at(key);
    const bool off = value == Json(false) || (value.is_structured() && value.empty());
    if (!off) fields.fail(key, "is " + shown(value) + ", which is not supported");
  }
}

// In PEFT a list, or an object of lists by the embedding's name.
std::vector<std::string> token_indices(const Fields& fields) {
  constexpr const char* kKey = "trainable_token_indices";
  std::vector<std::string> result;
  if (!fields.has(kKey)) return result;
  const Json* list = &fields.at(kKey);
  if (list->is_object() && list->size() == 1 &&
      (list->contains("embed_tokens") || list->contains("wte"))) {
    list = &*list->begin();
  }
  if (!list->is_array()) fields.fail(kKey, "is " + shown(*list) + "; expected a list of ids");
  for (const Json& id : *list) {
    if (!id.is_number_integer()) fields.fail(kKey, "holds " + shown(id) + "; expected ids");
    result.push_back(std::to_string(id.get<int64_t>()));
  }
  return result;
}

Json object_of(const std::vector<PatternValue>& patterns) {
  Json object = Json::object();
  for (const PatternValue& each : patterns) {
    const auto whole = static_cast<int64_t>(each.value);
    if (static_cast<double>(whole) == each.value) {
      object[each.pattern] = whole;
    } else {
      object[each.pattern] = each.value;
    }
  }
  return object;
}

// Whole numbers are written as such: PEFT declares lora_alpha an integer.
Json number(double value) {
  const auto whole = static_cast<int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

Json or_null(const std::vector<std::string>& names) { return names.empty() ? Json() : Json(names); }

}  // namespace

bool is_peft_folder(const std::string& folder) { return fs::exists(path_in(folder)); }

PeftConfig read_peft_config(const std::string& folder) {
  const std::string path = path_in(folder);
  if (!fs::exists(path)) {
    throw std::invalid_argument(
        folder + " has no adapter_config.json; expected the folder of a PEFT adapter");
  }
  const Json json = parse_json_object(read_text_file(path, kMaxConfigBytes), path);
  const Fields fields(json, path);
  refuse_unsupported(fields);
  PeftConfig config;
  LoraConfig& lora = config.lora;
  lora.lora_r = fields.size("r", 1 << 16, 8);
  lora.lora_alpha = fields.number("lora_alpha", 8, 0);
  lora.lora_dropout = fields.number("lora_dropout", 0, 0);
  if (lora.lora_dropout >= 1) fields.fail("lora_dropout", "is not below 1");
  lora.use_rslora = fields.boolean("use_rslora", false);
  lora.use_dora = fields.boolean("use_dora", false);
  lora.lora_target_modules = texts(fields, "target_modules");
  lora.rank_pattern = patterns(fields, "rank_pattern");
  lora.alpha_pattern = patterns(fields, "alpha_pattern");
  lora.modules_to_save = texts(fields, "modules_to_save");
  lora.trainable_token_indices = token_indices(fields);
  config.exclude_modules = texts(fields, "exclude_modules");
  if (fields.has("layers_to_transform"))
    config.layers_to_transform = fields.ids("layers_to_transform", {});
  config.base_model_name_or_path = fields.text("base_model_name_or_path", "");
  return config;
}

std::string dump_peft_config(const PeftConfig& config, bool fan_in_fan_out) {
  const LoraConfig& lora = config.lora;
  const std::vector<std::string>& targets = lora.lora_target_modules;
  const bool pattern =
      targets.size() == 1 && targets[0].find_first_of("*+?()[]{}|^$\\") != std::string::npos;
  Json tokens;
  for (const std::string& id : lora.trainable_token_indices) tokens.push_back(std::stoll(id));
  const Json json = {{"alpha_pattern", object_of(lora.alpha_pattern)},
                     {"auto_mapping", nullptr},
                     {"base_model_name_or_path", config.base_model_name_or_path},
                     {"bias", "none"},
                     {"corda_config", nullptr},
                     {"eva_config", nullptr},
                     {"exclude_modules", nullptr},
                     {"fan_in_fan_out", fan_in_fan_out},
                     {"inference_mode", true},
                     {"init_lora_weights", true},
                     {"layer_replication", nullptr},
                     {"layers_pattern", nullptr},
                     {"layers_to_transform", nullptr},
                     {"loftq_config", Json::object()},
                     {"lora_alpha", number(lora.lora_alpha)},
                     {"lora_bias", false},
                     {"lora_dropout", lora.lora_dropout},
                     {"megatron_config", nullptr},
                     {"megatron_core", "megatron.core"},
                     {"modules_to_save", or_null(lora.modules_to_save)},
                     {"peft_type", "LORA"},
                     {"r", lora.lora_r},
                     {"rank_pattern", object_of(lora.rank_pattern)},
                     {"revision", nullptr},
                     {"target_modules", pattern ? Json(targets[0]) : Json(targets)},
                     {"target_parameters", nullptr},
                     {"task_type", "CAUSAL_LM"},
                     {"trainable_token_indices", tokens},
                     {"use_dora", lora.use_dora},
                     {"use_qalora", false},
                     {"use_rslora", lora.use_rslora}};
  return json.dump(2) + "\n";
}

}  // namespace lathe

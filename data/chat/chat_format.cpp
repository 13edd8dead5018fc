#include "data/chat/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>

#include "data/shards/hash.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

struct Texts {
  std::string name;
  std::map<std::string, std::string> by_name;  // "default", and perhaps "tool_use"
};

std::string read_template(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw std::invalid_argument("data.chat_template: " + path + " can not be opened");
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Texts texts_of(const Tokenizer& tokenizer, const std::string& setting) {
  const auto builtin = [](const std::string& name) {
    return std::map<std::string, std::string>{
        {"default", std::string(*builtin_chat_template_source(name))}};
  };
  if (setting == "auto" && tokenizer.chat_templates().empty()) {
    return {"chatml, as the tokenizer's folder brings no chat template", builtin("chatml")};
  }
  if (setting == "auto")
    return {"the chat template of the tokenizer's folder", tokenizer.chat_templates()};
  if (builtin_chat_template_source(setting)) return {setting, builtin(setting)};
  if (setting.ends_with(".jinja") || std::filesystem::is_regular_file(setting))
    return {setting, {{"default", read_template(setting)}}};
  throw std::invalid_argument(fmt::format(
      "data.chat_template is `{}`; expected auto, one of {}, or the path of a .jinja file", setting,
      fmt::join(builtin_chat_template_names(), ", ")));
}

Json as_json(const Message& message) {
  Json object{{"role", message.role}, {"content", message.content}};
  if (!message.extra_json.empty()) object.update(Json::parse(message.extra_json));
  return object;
}

// What a message says about its part in the loss, by any of the names in use.
std::optional<bool> loss_of(const Json& message) {
  for (const char* key : {"train", "loss"}) {
    const auto value = message.find(key);
    if (value != message.end() && value->is_boolean()) return value->get<bool>();
  }
  for (const char* key : {"weight", "loss_weight"}) {
    const auto value = message.find(key);
    if (value != message.end() && value->is_number()) return value->get<double>() != 0;
  }
  return std::nullopt;
}

// Messages may hold what their template does not write: that would be lost without a word.
constexpr std::array kNotToLose{"tool_calls", "reasoning_content"};

bool holds(const Json& message, const char* key) {
  const auto value = message.find(key);
  return value != message.end() && !value->empty() && *value != "";
}

// A fixed day, the one that Llama's own templates fall back to: the same data gives the same tokens
// tomorrow, and a prompt carries the date that training carried.
std::tm fixed_day() {
  std::tm day{};
  day.tm_year = 124;
  day.tm_mon = 6;
  day.tm_mday = 26;
  day.tm_wday = 5;
  day.tm_yday = 207;
  return day;
}

}  // namespace

ChatFormat::Source ChatFormat::source_of(const std::string& text, const std::string& where) {
  return {text, ChatTemplate(text, where)};
}

ChatFormat::ChatFormat(const Tokenizer& tokenizer, const std::string& setting,
                       std::vector<std::string> roles)
    : is_folders_own_(setting == "auto" && !tokenizer.chat_templates().empty()),
      special_json_(Json(tokenizer.special_tokens()).dump()),
      roles_(std::move(roles)) {
  Texts texts = texts_of(tokenizer, setting);
  name_ = std::move(texts.name);
  const auto& by_name = texts.by_name;
  if (const auto tools = by_name.find("tool_use"); tools != by_name.end()) {
    for_tools_ = source_of(tools->second, name_ + " (tool_use)");
  }
  const auto usual = by_name.find("default");
  if (usual == by_name.end()) {
    throw std::invalid_argument(
        name_ + ": there are several, none named default; set data.chat_template to a .jinja file");
  }
  usual_ = source_of(usual->second, name_);
}

std::string ChatFormat::source_to_carry() const {
  if (is_folders_own_) return "";
  // Blocks that trim white space as those did.
  static const std::regex opening(R"(\{%(-?)\s*generation\s*(-?)%\})");
  static const std::regex closing(R"(\{%(-?)\s*endgeneration\s*(-?)%\})");
  const std::string opened = std::regex_replace(usual_->text, opening, "{%$1 if true $2%}");
  return std::regex_replace(opened, closing, "{%$1 endif $2%}");
}

RenderedChat ChatFormat::render(const Conversation& conversation, bool generation_prompt,
                                bool mark) const {
  Json context = Json::parse(special_json_);
  if (!conversation.variables_json.empty())
    context.update(Json::parse(conversation.variables_json));
  const Source& source = source_for(context);
  Json& messages = context["messages"] = Json::array();
  for (const Message& message : conversation.messages) {
    messages.push_back(as_json(message));
    for (const char* key : kNotToLose) {
      if (!holds(messages.back(), key) || source.text.find(key) != source.text.npos) continue;
      throw std::invalid_argument(fmt::format(
          "messages[{}]: holds {}, which {} does not write; set data.chat_template to one that "
          "does (chatml, or the model's own), or leave it out of the data",
          messages.size() - 1, key, name_));
    }
  }
  return render(source, context, generation_prompt, mark, trained_messages(conversation, roles_));
}

RenderedChat ChatFormat::render_context(const std::string& context_json, bool generation_prompt,
                                        bool mark) const {
  Json context = Json::parse(special_json_);
  context.update(Json::parse(context_json));
  Conversation said;
  for (const Json& message : context.value("messages", Json::array())) {
    const bool object = message.is_object();
    const Json role = object ? message.value("role", Json()) : Json();
    said.messages.push_back({.role = role.is_string() ? role.get<std::string>() : "",
                             .content = {},
                             .train = object ? loss_of(message) : std::nullopt});
  }
  return render(source_for(context), context, generation_prompt, mark,
                trained_messages(said, roles_));
}

const ChatFormat::Source& ChatFormat::source_for(const Json& context) const {
  const Json tools = context.value("tools", Json());
  return for_tools_ && !tools.empty() ? *for_tools_ : *usual_;
}

RenderedChat ChatFormat::render(const Source& source, const Json& context, bool generation_prompt,
                                bool mark, std::vector<bool> marked) const {
  ChatOptions options;
  options.generation_prompt = generation_prompt;
  options.mark_assistant = mark;
  options.marked = std::move(marked);
  options.now = fixed_day();
  return source.chat.render(context, options);
}

std::string ChatFormat::hash(const Tokenizer& tokenizer, const std::string& setting) {
  Hasher hasher;
  for (const auto& [name, text] : texts_of(tokenizer, setting).by_name) {
    hasher.add(fmt::format("{} {}\n", name, text.size()));
    hasher.add(text);
  }
  hasher.add(Json(tokenizer.special_tokens()).dump());
  return hex16(hasher.digest());
}

std::string end_of_turn_note(const ChatFormat& format, const Tokenizer& tokenizer,
                             const std::vector<int64_t>& eos_token_id) {
  const Conversation probe{{{"user", "a"}, {"assistant", "b"}}};
  MaskedIds masked;
  try {
    masked = tokenize_chat(tokenizer, format.render(probe, false, true), true);
  } catch (const std::invalid_argument&) {
    return "";  // not this conversation, or no marks: nothing is known
  }
  const auto stops = [&](size_t i) {
    return std::find(eos_token_id.begin(), eos_token_id.end(), masked.ids[i]) != eos_token_id.end();
  };
  // Behind the end of a turn many templates write a line end that belongs to it.
  for (size_t i = masked.ids.size(); i-- > 0;) {
    const int32_t id = masked.ids[i];
    if (!masked.mask[i]) continue;
    const std::string text = tokenizer.decode({id}, false);
    if (text.find_first_not_of(" \t\r\n") == text.npos) continue;
    if (stops(i)) return "";
    if (i + 1 < masked.ids.size() && stops(i + 1)) {
      return fmt::format(
          "the end of an assistant's turn, `{}` (id {}; {}), is not trained: the model will not "
          "learn to stop; move it into the {{% generation %}} block of the template",
          tokenizer.token_of(masked.ids[i + 1]), masked.ids[i + 1], format.name());
    }
    return fmt::format(
        "an assistant's turn ends with `{}` (id {}; {}), which is not in the model's eos_token_id "
        "[{}]: generation will not stop there; add it to eos_token_id in the model's config.json "
        "and generation_config.json",
        text, id, format.name(), fmt::join(eos_token_id, ", "));
  }
  return "";
}

}  // namespace lathe

#include "data/tokenize/chat_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
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
  if (setting.ends_with(".jinja")) return {setting, {{"default", read_template(setting)}}};
  throw std::invalid_argument(fmt::format(
      "data.chat_template is `{}`; expected auto, one of {}, or the path of a .jinja file", setting,
      fmt::join(builtin_chat_template_names(), ", ")));
}

Json as_json(const Message& message) {
  Json object{{"role", message.role}, {"content", message.content}};
  if (!message.extra_json.empty()) object.update(Json::parse(message.extra_json));
  return object;
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

ChatFormat::ChatFormat(const Tokenizer& tokenizer, const std::string& setting)
    : special_json_(Json(tokenizer.special_tokens()).dump()) {
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

RenderedChat ChatFormat::render(const Conversation& conversation, bool generation_prompt,
                                bool mark) const {
  Json context = Json::parse(special_json_);
  if (!conversation.variables_json.empty())
    context.update(Json::parse(conversation.variables_json));
  const Json tools = context.value("tools", Json());
  const Source& source = for_tools_ && !tools.empty() ? *for_tools_ : *usual_;
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
  ChatOptions options;
  options.generation_prompt = generation_prompt;
  options.mark_assistant = mark;
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
  // Behind the end of a turn many templates write a line end that belongs to it.
  for (size_t i = masked.ids.size(); i-- > 0;) {
    const int32_t id = masked.ids[i];
    if (!masked.mask[i]) continue;
    const std::string text = tokenizer.decode({id}, false);
    if (text.find_first_not_of(" \t\r\n") == text.npos) continue;
    if (std::find(eos_token_id.begin(), eos_token_id.end(), id) != eos_token_id.end()) return "";
    return fmt::format(
        "an assistant's turn ends with `{}` (id {}; {}), which is not in the model's eos_token_id "
        "[{}]: generation will not stop there; add it to eos_token_id in the model's config.json",
        text, id, format.name(), fmt::join(eos_token_id, ", "));
  }
  return "";
}

}  // namespace lathe

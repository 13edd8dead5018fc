#include "launch/conversation.h"

#include <nlohmann/json.hpp>

namespace lathe {
namespace {

using json = nlohmann::ordered_json;

Conversation read_conversation(const json& record) {
  Conversation conversation;
  for (const json& message : record.at("messages")) {
    const json content = message.value("content", json());
    conversation.messages.push_back({.role = message.at("role"),
                                     .content = content.is_null() ? "" : content.get<std::string>(),
                                     .extra_json = message.dump()});
  }
  json variables = record.value("chat_template_kwargs", json::object());
  for (const char* name : {"tools", "documents"}) {
    if (record.contains(name)) variables[name] = record[name];
  }
  conversation.variables_json = variables.dump();
  return conversation;
}

}  // namespace

std::vector<int64_t> text_ids(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, /*add_special_tokens=*/true);
  return {ids.begin(), ids.end()};
}

std::vector<int64_t> chat_ids(const Tokenizer& tokenizer, const ChatFormat& format,
                              const Conversation& conversation) {
  const std::string text = format.render(conversation, /*generation_prompt=*/true).text;
  const std::vector<int32_t> ids = tokenizer.encode(text, /*add_special_tokens=*/false);
  return {ids.begin(), ids.end()};
}

std::vector<int64_t> request_ids(std::string_view line, const Tokenizer& tokenizer,
                                 const std::string& chat_template) {
  const json record = json::parse(line);
  if (record.contains("input_ids")) return record["input_ids"].get<std::vector<int64_t>>();
  if (record.contains("messages"))
    return chat_ids(tokenizer, ChatFormat(tokenizer, chat_template), read_conversation(record));
  if (record.contains("prompt")) return text_ids(tokenizer, record["prompt"].get<std::string>());
  throw std::invalid_argument("found none of `prompt` (text), `messages` and `input_ids`");
}

}  // namespace lathe

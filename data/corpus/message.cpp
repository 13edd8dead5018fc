#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data/corpus/parsers.h"

namespace lathe {
namespace {

using namespace json_fields;

constexpr std::array<std::string_view, 4> kLossKeys{"train", "loss", "weight", "loss_weight"};

// A message while it is put together.
struct Draft {
  std::string content, reasoning, calls;
};

void add_part(const Element& value, const std::string& place, Draft& draft) {
  const Object part = object_of(value, place, R"(a part {"type": "text", "text": "..."})");
  const std::string type = text_of(at(part, "type", place + ".type", "a string"), place + ".type");
  if (type != "text" && type != "reasoning" && type != "tool_call") {
    fault(place + ".type", '`' + type + '`',
          "text, reasoning or tool_call; other parts are not known");
  }
  // LLaMA-Factory writes "value" for "text".
  const std::string key = find(part, "value", place + ".value") ? "value" : "text";
  const std::string name = place + '.' + key;
  const std::string text = text_of(at(part, key, name, "a string"), name);
  if (type == "text") draft.content += text;
  if (type == "reasoning") draft.reasoning += text;
  if (type == "tool_call") {
    const std::string call = tool_calls_of(text);
    if (call.empty()) fault(name, "no tool call", R"({"name": "...", "arguments": {...}})");
    draft.calls += (draft.calls.empty() ? "" : ", ") + call;
  }
}

// A string, or a list of parts laid end to end.
void read_content(const Element& value, const std::string& field, Draft& draft) {
  if (!value.is_array()) {
    draft.content = text_of(value, field);
    return;
  }
  size_t index = 0;
  for (const Element& part : Array(value))
    add_part(part, fmt::format("{}[{}]", field, index++), draft);
}

bool has_tool_calls(const Object& message, const std::string& field) {
  const auto calls = find(message, "tool_calls", field + ".tool_calls");
  if (!calls) return false;
  const Array list = list_of(*calls, field + ".tool_calls", "a list of calls");
  return list.begin() != list.end();
}

Message parse_message(const Element& value, const std::string& field) {
  const Object object = object_of(value, field, R"(an object {"role": "...", "content": "..."})");
  Message message{.role = text_of(at(object, "role", field + ".role", "a string"), field + ".role"),
                  .content = {}};
  if (message.role.empty())
    fault(field + ".role", "an empty string", "system, user, assistant or tool");
  message.train = loss_of(object, field);
  Draft draft;
  ObjectText extra;
  if (const auto content = find(object, "content", field + ".content")) {
    read_content(*content, field + ".content", draft);
  } else if (has_tool_calls(object, field)) {
    extra.add("content", "null");
  } else {
    read_content(at(object, "content", field + ".content", "a string"), field + ".content", draft);
  }
  for (const auto& [key, more] : object) {
    if (key != "role" && key != "content" && !is_loss_key(key) && !more.is_null())
      extra.add(key, simdjson::minify(more));
  }
  if (!draft.reasoning.empty()) extra.add("reasoning_content", json_string(draft.reasoning));
  if (!draft.calls.empty()) extra.add("tool_calls", '[' + draft.calls + ']');
  message.content = std::move(draft.content);
  message.extra_json = extra.finish();
  return message;
}

}  // namespace

bool is_loss_key(std::string_view key) {
  return std::find(kLossKeys.begin(), kLossKeys.end(), key) != kLossKeys.end();
}

std::optional<bool> loss_of(const Object& message, const std::string& field) {
  std::optional<bool> train;
  for (const std::string_view key : kLossKeys) {
    const std::string place = fmt::format("{}.{}", field, key);
    const auto value = find(message, key, place);
    if (!value) continue;
    bool flag = false;
    double number = 0;
    if (value->get(flag) != simdjson::SUCCESS) {
      if (value->get(number) != simdjson::SUCCESS || (number != 0 && number != 1)) {
        fault(place, kind_of(*value), "true, false, 0 or 1; other weights are not supported");
      }
      flag = number == 1;
    }
    if (train && *train != flag)
      fault(place, flag ? "1" : "0", "what the message's other key says");
    train = flag;
  }
  return train;
}

std::vector<Message> messages_of(const Element& value, const std::string& field) {
  std::vector<Message> messages;
  for (const Element& item : list_of(value, field, "a list of messages"))
    messages.push_back(parse_message(item, fmt::format("{}[{}]", field, messages.size())));
  if (messages.empty()) fault(field, "an empty list", "at least one message");
  return messages;
}

std::string variables_of(const RecordView& record) {
  ObjectText variables;
  if (const auto more = record.find("chat_template_kwargs")) {
    for (const auto& [key, value] : object_of(*more, "chat_template_kwargs", "an object"))
      variables.add(key, simdjson::minify(value));
  }
  for (const char* key : {"tools", "documents"}) {
    const auto value = record.find(key);
    const std::string name = record.name(key);
    if (!value) continue;
    // Some write the list as a string of JSON.
    const std::string text = value->is_string()
                                 ? json_list_of(text_of(*value, name), name)
                                 : std::string(simdjson::minify(list_of(*value, name, "a list")));
    if (!text.empty()) variables.add(key, text);
  }
  return variables.finish();
}

void add_system(const RecordView& record, std::vector<Message>& messages) {
  for (const char* key : {"system", "system_prompt"}) {
    const auto text = record.text_at(key);
    if (!text || (!messages.empty() && messages.front().role == "system")) continue;
    messages.insert(messages.begin(), Message{.role = "system", .content = *text});
  }
}

RecordContent parse_messages(const RecordView& record) {
  ChatRecord chat;
  chat.conversation.messages =
      messages_of(record.at("messages", "a list of messages"), record.name("messages"));
  add_system(record, chat.conversation.messages);
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

}  // namespace lathe

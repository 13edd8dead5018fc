#include <fmt/format.h>

#include <array>

#include "data/corpus/parsers.h"

// ShareGPT: {"conversations": [{"from": "human", "value": "..."}, ...]}, as FastChat and
// LLaMA-Factory write it.
namespace lathe {
namespace {

using namespace json_fields;

struct Speaker {
  std::string_view from, role;
};
constexpr std::array kSpeakers{
    Speaker{"human", "user"},        Speaker{"user", "user"},
    Speaker{"gpt", "assistant"},     Speaker{"assistant", "assistant"},
    Speaker{"chatgpt", "assistant"}, Speaker{"function_call", "assistant"},
    Speaker{"observation", "tool"},  Speaker{"tool", "tool"},
    Speaker{"system", "system"}};

std::string role_of(const std::string& from, const std::string& field) {
  std::string known;
  for (const Speaker& speaker : kSpeakers) {
    if (speaker.from == from) return std::string(speaker.role);
    known += (known.empty() ? "" : ", ") + std::string(speaker.from);
  }
  fault(field, '`' + from + '`', known);
}

Message parse_turn(const Element& value, const std::string& field) {
  const Object turn = object_of(value, field, R"(an object {"from": "...", "value": "..."})");
  const std::string place = field + ".from";
  const std::string from = text_of(at(turn, "from", place, "a string"), place);
  Message message{
      .role = role_of(from, place),
      .content = text_of(at(turn, "value", field + ".value", "a string"), field + ".value")};
  message.train = loss_of(turn, field);
  if (from != "function_call") return message;
  // A call that is not JSON stays text, as it stands.
  const std::string calls = tool_calls_of(message.content);
  if (calls.empty()) return message;
  message.content.clear();
  message.extra_json = R"({"tool_calls": [)" + calls + "]}";
  return message;
}

// Some name the list so but write its turns as messages.
bool has_roles(const Array& list) {
  for (const Element& item : list) {
    Object turn;
    return item.get(turn) == simdjson::SUCCESS && turn.at_key("role").error() == simdjson::SUCCESS;
  }
  return false;
}

}  // namespace

RecordContent parse_sharegpt(const Object& record) {
  const bool plural = record.at_key("conversation").error() != simdjson::SUCCESS;
  const std::string key = plural ? "conversations" : "conversation";
  const Element value = at(record, key, key, "a list of turns");
  const Array list = list_of(value, key, "a list of turns");
  ChatRecord chat;
  std::vector<Message>& messages = chat.conversation.messages;
  if (has_roles(list)) {
    messages = messages_of(value, key);
  } else {
    for (const Element& turn : list)
      messages.push_back(parse_turn(turn, fmt::format("{}[{}]", key, messages.size())));
  }
  if (messages.empty()) fault(key, "an empty list", "at least one turn");
  add_system(record, messages);
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

}  // namespace lathe

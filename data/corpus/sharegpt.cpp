#include <fmt/format.h>

#include <algorithm>

#include "data/corpus/parsers.h"

// ShareGPT: {"conversations": [{"from": "human", "value": "..."}, ...]}, as FastChat and
// LLaMA-Factory write it.
namespace lathe {
namespace {

using namespace json_fields;

Speaker speaker_of(const std::string& from, const std::string& field, const RecordFormat& format) {
  std::string known;
  for (const auto& [word, speaker] : format.speakers) {
    if (word == from) return speaker;
    known += (known.empty() ? "" : ", ") + word;
  }
  fault(field, '`' + from + '`', known);
}

std::string role_of(Speaker speaker) {
  switch (speaker) {
    case Speaker::kUser:
      return "user";
    case Speaker::kTool:
      return "tool";
    case Speaker::kSystem:
      return "system";
    default:
      return "assistant";
  }
}

Message parse_turn(const Element& value, const std::string& field, const RecordFormat& format) {
  const std::string expected =
      fmt::format(R"(an object {{"{}": "...", "{}": "..."}})", format.role_key, format.content_key);
  const Object turn = object_of(value, field, expected);
  const std::string place = field + '.' + format.role_key,
                    content = field + '.' + format.content_key;
  const std::string from = text_of(at(turn, format.role_key, place, "a string"), place);
  const Speaker speaker = speaker_of(from, place, format);
  Message message{.role = role_of(speaker),
                  .content = text_of(at(turn, format.content_key, content, "a string"), content)};
  message.train = loss_of(turn, field);
  if (speaker != Speaker::kFunction) return message;
  // A call that is not JSON stays text, as it stands.
  const std::string calls = tool_calls_of(message.content);
  if (calls.empty()) return message;
  message.content.clear();
  message.extra_json = R"({"tool_calls": [)" + calls + "]}";
  return message;
}

// Some name the list so but write its turns as messages do: those may hold more than two keys.
bool are_messages(const Array& list, const RecordFormat& format) {
  const bool named_so = format.role_key == "role" && format.content_key == "content";
  if (!named_so && format.role_key != "from") return false;
  for (const Element& item : list) {
    Object turn;
    if (item.get(turn) != simdjson::SUCCESS) return false;
    std::string_view role;
    if (turn.at_key("role").get(role) != simdjson::SUCCESS) return false;
    const auto& speakers = format.speakers;
    const bool usual = std::all_of(speakers.begin(), speakers.end(), [&](const auto& word) {
      return word.first != role || role_of(word.second) == role;
    });
    if (!usual) return false;
  }
  return true;
}

}  // namespace

RecordContent parse_sharegpt(const RecordView& record) {
  // LLaMA-Factory's columns call the list messages.
  std::string_view key = "conversations";
  for (const std::string_view other : {"conversation", "messages"}) {
    if (!record.has(key) && record.has(other)) key = other;
  }
  const std::string name = record.name(key);
  const Element value = record.at(key, "a list of turns");
  const Array list = list_of(value, name, "a list of turns");
  ChatRecord chat;
  std::vector<Message>& messages = chat.conversation.messages;
  if (are_messages(list, record.format())) {
    messages = messages_of(value, name);
  } else {
    for (const Element& turn : list)
      messages.push_back(
          parse_turn(turn, fmt::format("{}[{}]", name, messages.size()), record.format()));
  }
  if (messages.empty()) fault(name, "an empty list", "at least one turn");
  add_system(record, messages);
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

}  // namespace lathe

#include <fmt/format.h>

#include "data/corpus/parsers.h"

// Shapes of a question and an answer.
namespace lathe {
namespace {

using namespace json_fields;

std::string text_field(const RecordView& record, std::string_view key) {
  return text_of(record.at(key, "a string"), record.name(key));
}

// The first of the names that the record has, or nothing.
template <size_t N>
std::string_view first_of(const RecordView& record, const std::string_view (&names)[N]) {
  for (const std::string_view name : names) {
    if (record.has(name)) return name;
  }
  return "";
}

// history: [["question", "answer"], ...], the turns before.
void add_history(const RecordView& record, std::vector<Message>& messages) {
  const auto history = record.find("history");
  const std::string name = record.name("history");
  // An empty cell of a table is no history.
  if (!history || (history->is_string() && text_of(*history, name).empty())) return;
  size_t index = 0;
  for (const Element& item : list_of(*history, name, "a list of [question, answer]")) {
    const std::string place = fmt::format("{}[{}]", name, index++);
    const Array turn = list_of(item, place, "[question, answer]");
    if (turn.size() != 2) fault(place, fmt::format("{} items", turn.size()), "[question, answer]");
    messages.push_back({.role = "user", .content = text_of(turn.at(0), place + "[0]")});
    messages.push_back({.role = "assistant", .content = text_of(turn.at(1), place + "[1]")});
  }
}

ChatRecord conversation(const RecordView& record, std::string question, std::string answer) {
  ChatRecord chat;
  std::vector<Message>& messages = chat.conversation.messages;
  add_system(record, messages);
  add_history(record, messages);
  messages.push_back({.role = "user", .content = std::move(question)});
  messages.push_back({.role = "assistant", .content = std::move(answer)});
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

}  // namespace

RecordContent parse_query_response(const RecordView& record) {
  const std::string_view query = first_of(record, kQueryNames),
                         response = first_of(record, kResponseNames);
  if (query.empty())
    fault("query", "no such key", "query, question, problem, prompt, instruction or input");
  if (response.empty())
    fault("response", "no such key", "response, answer, output or another name of it");
  return conversation(record, text_field(record, query), text_field(record, response));
}

RecordContent parse_alpaca(const RecordView& record) {
  std::string question = text_field(record, "instruction");
  if (const auto input = record.text_at("input"))
    question += (question.empty() ? "" : "\n") + *input;
  const bool output = !record.has("response");
  return conversation(record, std::move(question),
                      text_field(record, output ? "output" : "response"));
}

RecordContent parse_prompt_completion(const RecordView& record) {
  const Element prompt = record.at("prompt", "a string or a list of messages");
  const Element completion = record.at("completion", "a string or a list of messages");
  if (!prompt.is_array())
    return PairRecord{text_of(prompt, record.name("prompt")),
                      text_of(completion, record.name("completion"))};
  ChatRecord chat;
  std::vector<Message>& messages = chat.conversation.messages;
  messages = messages_of(prompt, record.name("prompt"));
  add_system(record, messages);
  chat.prompt_messages = messages.size();
  if (messages.back().role != "user" && messages.back().role != "tool") {
    fault("prompt", "a last message of the role " + messages.back().role, "one of user or tool");
  }
  for (Message& message : messages_of(completion, record.name("completion")))
    messages.push_back(std::move(message));
  for (const Message& message : messages) {
    if (message.train)
      fault("prompt", "messages that say whether to train on them", "that in the shape messages");
  }
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

}  // namespace lathe

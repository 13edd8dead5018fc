#include <fmt/format.h>

#include <algorithm>

#include "data/corpus/parsers.h"

// Shapes of preferences: two answers to a prompt of which one is better, or one answer and whether
// it is good; as TRL, LLaMA-Factory and ms-swift write them.
namespace lathe {
namespace {

using namespace json_fields;
using Messages = std::vector<Message>;

constexpr const char* kTextOrMessages = "a string or a list of messages";

void check_prompt(const Messages& prompt, const std::string& field) {
  if (prompt.empty()) fault(field, "no message", "at least the question");
  const std::string& role = prompt.back().role;
  if (role != "user" && role != "tool")
    fault(field, "a last message of the role " + role, "one of user or tool");
  for (const Message& message : prompt) {
    if (message.train)
      fault(field, "messages that say whether to train on them", "that in the shape messages");
  }
}

ChatRecord answer_of(const RecordView& record, const Messages& prompt, Messages answer) {
  ChatRecord chat;
  chat.conversation.messages = prompt;
  chat.prompt_messages = prompt.size();
  for (Message& message : answer) {
    message.train.reset();  // an answer counts as a whole
    chat.conversation.messages.push_back(std::move(message));
  }
  chat.conversation.variables_json = variables_of(record);
  return chat;
}

PreferenceRecord pair_of(const RecordView& record, const Messages& prompt, Messages chosen,
                         Messages rejected) {
  return {answer_of(record, prompt, std::move(chosen)),
          answer_of(record, prompt, std::move(rejected))};
}

Messages assistant(std::string text) {
  return {Message{.role = "assistant", .content = std::move(text)}};
}

// How many messages both begin with; at least one is left of each, so that there are answers.
size_t common_messages(const Messages& a, const Messages& b) {
  const size_t most = std::min(a.size(), b.size());
  size_t same = 0;
  while (same < most && a[same] == b[same]) ++same;
  return same == most ? most - 1 : same;
}

bool inside_letter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// Bytes of the text that both begin with, whole letters; a space in front of the answers is theirs,
// as TRL has it.
size_t common_letters(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  size_t same = 0;
  while (same < most && a[same] == b[same]) ++same;
  if (same == most) {
    if (same > 0) --same;
    while (same > 0 && inside_letter(a, same)) --same;
    return same;
  }
  while (same > 0 && (inside_letter(a, same) || inside_letter(b, same))) --same;
  return same > 0 && a[same - 1] == ' ' ? same - 1 : same;
}

RecordContent implicit_prompt(const RecordView& record, const Element& chosen,
                              const Element& rejected) {
  const std::string chosen_name = record.name("chosen"), rejected_name = record.name("rejected");
  if (!chosen.is_array()) {
    const std::string a = text_of(chosen, chosen_name), b = text_of(rejected, rejected_name);
    const size_t same = common_letters(a, b);
    const std::string prompt = a.substr(0, same);
    return PreferenceRecord{PairRecord{prompt, a.substr(same)}, PairRecord{prompt, b.substr(same)}};
  }
  Messages a = messages_of(chosen, chosen_name), b = messages_of(rejected, rejected_name);
  const auto same = static_cast<std::ptrdiff_t>(common_messages(a, b));
  Messages prompt(a.begin(), a.begin() + same);
  a.erase(a.begin(), a.begin() + same);
  b.erase(b.begin(), b.begin() + same);
  add_system(record, prompt);
  check_prompt(prompt, fmt::format("what {} and {} begin with", chosen_name, rejected_name));
  return pair_of(record, prompt, std::move(a), std::move(b));
}

RecordContent explicit_prompt(const RecordView& record, const Element& prompt,
                              const Element& chosen, const Element& rejected) {
  const std::string name = record.name("prompt"), chosen_name = record.name("chosen"),
                    rejected_name = record.name("rejected");
  if (!prompt.is_array()) {
    const std::string text = text_of(prompt, name);
    return PreferenceRecord{PairRecord{text, text_of(chosen, chosen_name)},
                            PairRecord{text, text_of(rejected, rejected_name)}};
  }
  Messages messages = messages_of(prompt, name);
  add_system(record, messages);
  check_prompt(messages, name);
  return pair_of(record, messages, messages_of(chosen, chosen_name),
                 messages_of(rejected, rejected_name));
}

// LLaMA-Factory: the turns of the prompt, and one turn for each answer.
RecordContent ranked_turns(const RecordView& record) {
  const Messages prompt = turns_of(record);
  check_prompt(prompt, record.name("conversations"));
  const auto turn = [&](const char* key) {
    const std::string name = record.name(key);
    return Messages{turn_of(record.at(key, "a turn"), name, record.format())};
  };
  return pair_of(record, prompt, turn("chosen"), turn("rejected"));
}

RecordContent ranked_alpaca(const RecordView& record) {
  const Messages prompt = question_of(record, alpaca_question(record));
  const auto answer = [&](const char* key) {
    return assistant(text_of(record.at(key, "a string"), record.name(key)));
  };
  return pair_of(record, prompt, answer("chosen"), answer("rejected"));
}

// ms-swift: a conversation that ends with the chosen answer, and what stands in its place.
RecordContent swift_messages(const RecordView& record) {
  Messages chosen =
      messages_of(record.at("messages", "a list of messages"), record.name("messages"));
  add_system(record, chosen);
  if (const auto text = record.text_at("rejected_response")) {
    Messages prompt(chosen.begin(), chosen.end() - 1);
    check_prompt(prompt, record.name("messages") + " but for the last");
    return pair_of(record, prompt, {chosen.back()}, assistant(*text));
  }
  const std::string name = record.name("rejected_messages");
  Messages rejected = messages_of(record.at("rejected_messages", "a list of messages"), name);
  add_system(record, rejected);
  const auto same = static_cast<std::ptrdiff_t>(common_messages(chosen, rejected));
  const Messages prompt(chosen.begin(), chosen.begin() + same);
  check_prompt(prompt, fmt::format("what {} and {} begin with", record.name("messages"), name));
  return pair_of(record, prompt, Messages(chosen.begin() + same, chosen.end()),
                 Messages(rejected.begin() + same, rejected.end()));
}

bool label_of(const RecordView& record) {
  const char* key = record.has("kto_tag") ? "kto_tag" : "label";
  const std::string name = record.name(key);
  const Element value = record.at(key, "true or false");
  bool label = false;
  int64_t number = 0;
  if (value.get(label) == simdjson::SUCCESS) return label;
  if (value.get(number) == simdjson::SUCCESS && (number == 0 || number == 1)) return number == 1;
  fault(name, kind_of(value), "true (a good answer) or false");
}

// The last message is the answer.
ChatRecord split_last(const RecordView& record, Messages messages, const std::string& field) {
  const Messages answer{messages.back()};
  messages.pop_back();
  check_prompt(messages, field + " but for the last");
  return answer_of(record, messages, answer);
}

AnswerRecord labelled_answer(const RecordView& record) {
  if (record.has("prompt") && record.has("completion")) {
    RecordContent content = parse_prompt_completion(record);
    if (auto* chat = std::get_if<ChatRecord>(&content)) return std::move(*chat);
    return std::get<PairRecord>(std::move(content));
  }
  if (record.has("instruction")) {
    auto chat = std::get<ChatRecord>(parse_alpaca(record));
    chat.prompt_messages = chat.conversation.messages.size() - 1;
    return chat;
  }
  if (record.has("conversations"))
    return split_last(record, turns_of(record), record.name("conversations"));
  Messages messages =
      messages_of(record.at("messages", "a list of messages"), record.name("messages"));
  add_system(record, messages);
  return split_last(record, std::move(messages), record.name("messages"));
}

}  // namespace

RecordContent parse_preference(const RecordView& record) {
  const bool named = record.has("chosen") || record.has("rejected");
  if (!named && record.has("messages")) return swift_messages(record);
  if (record.has("conversations")) return ranked_turns(record);
  if (record.has("instruction")) return ranked_alpaca(record);
  const Element chosen = record.at("chosen", kTextOrMessages);
  const Element rejected = record.at("rejected", kTextOrMessages);
  if (chosen.is_array() != rejected.is_array())
    fault(record.name("rejected"), kind_of(rejected), "what " + record.name("chosen") + " is");
  // Some write the question beside whole conversations: then those say more.
  const auto prompt = record.find("prompt");
  if (!prompt || prompt->is_array() != chosen.is_array())
    return implicit_prompt(record, chosen, rejected);
  return explicit_prompt(record, *prompt, chosen, rejected);
}

RecordContent parse_unpaired(const RecordView& record) {
  return UnpairedRecord{labelled_answer(record), label_of(record)};
}

}  // namespace lathe

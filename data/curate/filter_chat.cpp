#include <algorithm>

#include "data/curate/filters.h"
#include "data/curate/text_pieces.h"

// What spoils conversations: refusals, empty or repeated turns, roles in a wrong order, answers
// that are too short or too long.
namespace lathe {
namespace {

constexpr Signal kSignals[] = {
    {"turns", "messages of a conversation"},
    {"answer_words", "words (at white space) of all that is to be learnt"},
    {"shortest_answer", "characters of the shortest answer"},
    {"empty_turns", "messages without text or call"},
    {"repeated_turns", "messages that say what the same role said before"},
    {"role_faults", "messages whose role can not follow the one before"},
    {"refusals", "answers that refuse"},
    {"placeholders", "{{name}} and the like, left unfilled"}};

constexpr FilterRule kRules[] = {{"chat_empty_turn", "empty_turns", FilterRule::kAbove, 0},
                                 {"chat_repeated_turn", "repeated_turns", FilterRule::kAbove, 0},
                                 {"chat_wrong_role_order", "role_faults", FilterRule::kAbove, 0},
                                 {"chat_refusal", "refusals", FilterRule::kAbove, 0},
                                 {"chat_short_answer", "answer_words", FilterRule::kBelow, 1},
                                 {"chat_long_answer", "answer_words", FilterRule::kAbove, 8192},
                                 {"chat_too_many_turns", "turns", FilterRule::kAbove, 64}};

// As they stand near the beginning of an answer, in small letters, apostrophes made straight.
constexpr std::string_view kRefusals[] = {"i'm sorry, but i can't",
                                          "i'm sorry, but i cannot",
                                          "i am sorry, but i can't",
                                          "i am sorry, but i cannot",
                                          "i'm sorry, i can't",
                                          "i'm sorry, i cannot",
                                          "i can't assist with",
                                          "i cannot assist with",
                                          "i can't help with",
                                          "i cannot help with",
                                          "i'm unable to assist",
                                          "i am unable to assist",
                                          "i'm not able to assist",
                                          "i cannot fulfill",
                                          "i can't fulfill",
                                          "i cannot provide that",
                                          "i must decline",
                                          "as an ai language model, i can't",
                                          "as an ai language model, i cannot",
                                          "as an ai language model, i do not",
                                          "as an ai language model, i don't",
                                          "i apologize, but i cannot",
                                          "i apologize, but i can't",
                                          "i'm sorry, but as an ai"};

constexpr size_t kRefusalWindow = 240;

std::string beginning(std::string_view text) {
  text = text.substr(0, kRefusalWindow);
  std::string small;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\xE2\x80\x99")) {
      small.push_back('\'');
      i += 2;
    } else {
      small.push_back((byte_bits(text[i]) & kUpperBit) ? static_cast<char>(text[i] | 0x20)
                                                       : text[i]);
    }
  }
  return small;
}

bool is_refusal(std::string_view answer) {
  const std::string text = beginning(answer);
  return std::any_of(std::begin(kRefusals), std::end(kRefusals),
                     [&](std::string_view refusal) { return text.find(refusal) != text.npos; });
}

double count_words(std::string_view text) {
  double words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = byte_bits(c) & kSpaceBit;
    words += !space && !inside;
    inside = !space;
  }
  return words;
}

double count_placeholders(std::string_view text) {
  double count = 0;
  for (size_t at = text.find("{{"); at != text.npos; at = text.find("{{", at + 2)) {
    size_t end = at + 2;
    while (end < text.size() && ((byte_bits(text[end]) & kLetterBit) || text[end] == '_')) ++end;
    count += end > at + 2 && text.substr(end).starts_with("}}");
  }
  return count;
}

// system first, then user and assistant in turns; tools answer an assistant.
bool may_follow(std::string_view before, std::string_view role) {
  if (role == "system") return before.empty();
  if (role == "user") return before.empty() || before == "system" || before == "assistant";
  if (role == "assistant") return before == "user" || before == "tool";
  if (role == "tool") return before == "assistant" || before == "tool";
  return true;
}

void measure_turns(const std::vector<Message>& messages, double* values) {
  values[0] = static_cast<double>(messages.size());
  std::string_view before;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (strip(message.content).empty() && message.extra_json.empty()) ++values[3];
    for (size_t k = 0; k < i; ++k) {
      if (messages[k].role == message.role && message.role != "tool" && !message.content.empty() &&
          messages[k].content == message.content) {
        ++values[4];
        break;
      }
    }
    if (!may_follow(before, message.role)) ++values[5];
    before = message.role;
  }
}

void measure(const Measured& m, double* values) {
  std::fill_n(values, std::size(kSignals), 0.0);
  if (m.document.chat) measure_turns(m.document.chat->messages, values);
  const std::vector<std::string>& answers = m.document.answers;
  double shortest = 0;
  for (const std::string& answer : answers) {
    values[1] += count_words(answer);
    const auto chars = static_cast<double>(count_chars(answer));
    if (&answer == &answers[0] || chars < shortest) shortest = chars;
    values[6] += is_refusal(answer);
  }
  values[2] = shortest;
  values[7] = m.split.counts().open_curly > 1 ? count_placeholders(m.document.text) : 0;
}

}  // namespace

Filter chat_filter() {
  return {"chat",   1,      "refusals, empty or repeated turns, wrong roles, length of answers",
          kSignals, kRules, measure};
}

}  // namespace lathe

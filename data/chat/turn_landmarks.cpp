#include "data/chat/turn_landmarks.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kQuestion = "9f2c question", kAnswer = "7b1e answer";

struct Landmarks {
  std::string opening, closing;
  std::string prompt;  // what the generation prompt is: the opening, and perhaps an empty thought
};

[[noreturn]] void fail(const jinja::Template& source, const std::string& why) {
  throw std::invalid_argument(source.where() + ": " + why);
}

std::string common_prefix(const std::string& a, const std::string& b) {
  return {a.begin(), std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first};
}

std::string behind(const std::string& text, const std::string& prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : "";
}

// What the template writes around an answer in a conversation of one question and one answer.
Landmarks find_landmarks(const jinja::Template& source, const Json& context,
                         const jinja::RenderOptions& options) {
  const auto render = [&](bool with_answer, bool prompt, bool plain) {
    Json probe = context;
    probe["messages"] = Json::array({{{"role", "user"}, {"content", kQuestion}}});
    if (with_answer) probe["messages"].push_back({{"role", "assistant"}, {"content", kAnswer}});
    probe["add_generation_prompt"] = prompt;
    if (plain) probe.erase("enable_thinking");
    return source.render(probe, options).text;
  };
  const std::string question = render(false, false, true), answered = render(true, false, true);
  const std::string asked = behind(render(false, true, true), question);
  const std::string answer = behind(answered, question);
  const size_t said = answer.find(kAnswer);
  if (said == answer.npos) fail(source, "it does not write what the assistant says as it is");
  Landmarks landmarks{common_prefix(asked, answer.substr(0, said)),
                      answer.substr(said + kAnswer.size()),
                      behind(render(false, true, false), render(false, false, false))};
  // Some templates close the whole conversation with eos_token; then a turn in its middle has no
  // end to be known by.
  if (landmarks.opening.find_first_not_of(" \t\r\n") == std::string::npos ||
      landmarks.closing.find_first_not_of(" \t\r\n") == std::string::npos)
    fail(source, "it writes nothing before or behind what the assistant says");
  return landmarks;
}

bool holds(const Json& value, const std::string& text) {
  if (value.is_string()) return value.get_ref<const std::string&>().find(text) != std::string::npos;
  return std::any_of(value.begin(), value.end(), [&](const Json& part) {
    return part.is_structured() || part.is_string() ? holds(part, text) : false;
  });
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return text.substr(first, last + 1 - first);
}

}  // namespace

std::vector<std::pair<size_t, size_t>> find_turns_by_landmarks(const jinja::Template& source,
                                                               const Json& context,
                                                               const jinja::RenderOptions& options,
                                                               const std::string& text) {
  const Landmarks landmarks = find_landmarks(source, context, options);
  const Json& messages = context["messages"];
  if (holds(messages, trimmed(landmarks.opening)) || holds(messages, trimmed(landmarks.closing)))
    fail(source, "a message holds what the template writes around turns");
  std::vector<std::pair<size_t, size_t>> turns;
  for (size_t at = 0; (at = text.find(landmarks.opening, at)) != text.npos;) {
    const size_t opening = at;
    at += landmarks.opening.size();
    const size_t end = text.find(landmarks.closing, at);
    if (end == text.npos) break;  // the generation prompt
    const bool thought = !landmarks.prompt.empty() &&
                         text.compare(opening, landmarks.prompt.size(), landmarks.prompt) == 0;
    turns.emplace_back(thought ? opening + landmarks.prompt.size() : at,
                       end + landmarks.closing.size());
    at = turns.back().second;
  }
  const auto spoken = std::count_if(messages.begin(), messages.end(), [](const Json& message) {
    return message.is_object() && message.value("role", Json()) == "assistant";
  });
  if (static_cast<size_t>(spoken) != turns.size())
    fail(source, std::to_string(spoken) + " turns of the assistant, but " +
                     std::to_string(turns.size()) + " are written as turns");
  return turns;
}

}  // namespace lathe

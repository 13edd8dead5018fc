#include "data/chat/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "data/chat/turn_landmarks.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;
using Spans = std::vector<std::pair<size_t, size_t>>;

bool is_assistant(const Json& message) {
  return message.is_object() && message.value("role", Json()) == "assistant";
}

// Finds turns in a text by rendering the conversation up to each of them, or with another content.
class PrefixMarker {
 public:
  PrefixMarker(const jinja::Template& source, const Json& context,
               const jinja::RenderOptions& options)
      : source_(source), context_(context), options_(options) {}

  // What the assistant says in a message of its own. Throws std::invalid_argument when the span can
  // not be known.
  std::pair<size_t, size_t> turn(const std::string& text, size_t message) const {
    const std::string prompt = render(message, true);
    if (!text.starts_with(prompt)) disagree(message, "begins");
    const auto end = end_of(text, message);
    if (!end || *end < prompt.size()) disagree(message, "ends");
    return {prompt.size(), *end};
  }

  // Another role's: what changes when its content does, to the end of its turn. Empty where there
  // is no content.
  std::pair<size_t, size_t> content(const std::string& text, size_t message) const {
    Json context = context_;
    Json& said = context["messages"][message]["content"];
    if (!said.is_string()) disagree(message, "is said (its content is no text)");
    const std::string& old = said.get_ref<const std::string&>();
    const size_t first = old.find_first_not_of(" \t\r\n"), last = old.find_last_not_of(" \t\r\n");
    if (first == old.npos) return {0, 0};
    std::string probe = "x";  // a letter that neither begins nor ends the content
    while (probe[0] == old[first] || probe[0] == old[last]) ++probe[0];
    said = probe;
    const std::string other = source_.render(context, options_).text;
    const auto begin = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), other.begin(), other.end()).first - text.begin());
    const auto tail = static_cast<size_t>(
        std::mismatch(text.rbegin(), text.rend(), other.rbegin(), other.rend()).first -
        text.rbegin());
    if (begin + 1 + tail != other.size()) disagree(message, "is said");
    size_t end = text.size() - tail;
    try {
      end = std::max(end, end_of(text, message).value_or(end));
    } catch (const std::invalid_argument&) {
      // The template does not take the conversation up to there: the content alone is known.
    }
    return {begin, end};
  }

 private:
  std::string render(size_t num_messages, bool generation_prompt) const {
    Json context = context_;
    Json& messages = context["messages"];
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(num_messages), messages.end());
    context["add_generation_prompt"] = generation_prompt;
    return source_.render(context, options_).text;
  }

  std::optional<size_t> end_of(const std::string& text, size_t message) const {
    std::string upto = render(message + 1, false);
    // Some templates close the whole conversation with eos_token; a turn in its middle is without.
    const Json eos = context_.value("eos_token", Json());
    if (!text.starts_with(upto) && eos.is_string() &&
        upto.ends_with(eos.get_ref<const std::string&>())) {
      upto.resize(upto.size() - eos.get_ref<const std::string&>().size());
    }
    if (!text.starts_with(upto)) return std::nullopt;
    return upto.size();
  }

  [[noreturn]] void disagree(size_t message, const std::string& what) const {
    throw std::invalid_argument(source_.where() +
                                ": the template has no {% generation %}, and where message " +
                                std::to_string(message) + " " + what +
                                " can not be found: it writes the conversation up to there "
                                "differently once more follows. Use a template "
                                "with {% generation %}, or train on all tokens.");
  }

  const jinja::Template& source_;
  const Json& context_;
  const jinja::RenderOptions& options_;
};

// The spans of the wanted messages. Throws std::invalid_argument when they can not be known.
Spans mark(const PrefixMarker& marker, const Json& messages, const std::vector<bool>& wanted,
           const RenderedChat& chat, const std::optional<Spans>& generated) {
  size_t turns = 0;
  for (const Json& message : messages) turns += is_assistant(message);
  if (generated && generated->size() != turns) {
    throw std::invalid_argument("messages: " + std::to_string(turns) +
                                " turns of the assistant, but the template marks " +
                                std::to_string(generated->size()) +
                                " parts of the text, so it is not known which is which");
  }
  Spans spans;
  size_t turn = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool answer = is_assistant(messages[i]);
    if (answer) ++turn;
    if (!wanted[i]) continue;
    const auto span = !answer     ? marker.content(chat.text, i)
                      : generated ? (*generated)[turn - 1]
                                  : marker.turn(chat.text, i);
    if (span.first < span.second) spans.push_back(span);
  }
  std::sort(spans.begin(), spans.end());  // some templates write the system text later
  return spans;
}

Json completed(const Json& context, bool generation_prompt, const std::string& where) {
  if (!context.is_object() || !context.contains("messages") || !context["messages"].is_array()) {
    throw std::invalid_argument(where +
                                ": a conversation has to be an object with a list `messages`");
  }
  Json whole = context;
  // Hugging Face always passes these.
  for (const char* name : {"tools", "documents"}) {
    if (!whole.contains(name)) whole[name] = nullptr;
  }
  whole["add_generation_prompt"] = generation_prompt;
  return whole;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string where)
    : template_(source, std::move(where)) {}

RenderedChat ChatTemplate::render(const Json& context, const ChatOptions& options) const {
  const Json whole = completed(context, options.generation_prompt, template_.where());
  const jinja::RenderOptions render_options{options.limits, options.now};
  jinja::Rendering rendering = template_.render(whole, render_options);
  RenderedChat chat{std::move(rendering.text), std::move(rendering.generated), ""};
  if (!options.mark_assistant) {
    chat.assistant.clear();
    chat.unmarked = "not asked for";
    return chat;
  }
  const bool generated = template_.has_generation() && !rendering.generated_apart;
  std::vector<bool> answers;
  for (const Json& message : whole["messages"]) answers.push_back(is_assistant(message));
  const bool only_answers = options.marked.empty() || options.marked == answers;
  if (generated && only_answers) return chat;
  auto blocks = generated ? std::optional(std::exchange(chat.assistant, {})) : std::nullopt;
  const PrefixMarker marker(template_, whole, render_options);
  const std::vector<bool>& wanted = only_answers ? answers : options.marked;
  try {
    chat.assistant = mark(marker, whole["messages"], wanted, chat, blocks);
  } catch (const std::invalid_argument& cause) {
    chat.unmarked = cause.what();
  }
  if (chat.unmarked.empty() || generated) return chat;
  try {
    blocks = find_turns_by_landmarks(template_, whole, render_options, chat.text);
    chat.assistant = mark(marker, whole["messages"], wanted, chat, blocks);
    chat.unmarked.clear();
  } catch (const std::invalid_argument&) {
    // What the prefixes lacked says more.
  }
  return chat;
}

}  // namespace lathe

#include "data/tokenize/chat_template.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;
using Spans = std::vector<std::pair<size_t, size_t>>;

// Finds the assistant's turns in a text by rendering the conversation up to each of them.
class PrefixMarker {
 public:
  PrefixMarker(const jinja::Template& source, const Json& context,
               const jinja::RenderOptions& options)
      : source_(source), context_(context), options_(options) {}

  // Throws std::invalid_argument when the spans can not be known.
  Spans mark(const std::string& text) {
    Spans spans;
    const Json& messages = context_.at("messages");
    for (size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].is_object() && messages[i].value("role", Json()) == "assistant") {
        spans.push_back(turn(text, i));
      }
    }
    return spans;
  }

 private:
  std::string render(size_t num_messages, bool generation_prompt) const {
    Json context = context_;
    Json& messages = context["messages"];
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(num_messages), messages.end());
    context["add_generation_prompt"] = generation_prompt;
    return source_.render(context, options_).text;
  }

  std::pair<size_t, size_t> turn(const std::string& text, size_t message) const {
    const std::string prompt = render(message, true);
    if (!text.starts_with(prompt)) disagree(message, "begins");
    std::string upto = render(message + 1, false);
    // Some templates close the whole conversation with eos_token; a turn in its middle is without.
    const Json eos = context_.value("eos_token", Json());
    if (!text.starts_with(upto) && eos.is_string() &&
        upto.ends_with(eos.get_ref<const std::string&>())) {
      upto.resize(upto.size() - eos.get_ref<const std::string&>().size());
    }
    if (!text.starts_with(upto) || upto.size() < prompt.size()) disagree(message, "ends");
    return {prompt.size(), upto.size()};
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
  if (template_.has_generation() && !rendering.generated_apart) return chat;
  try {
    chat.assistant = PrefixMarker(template_, whole, render_options).mark(chat.text);
  } catch (const std::invalid_argument& cause) {
    chat.assistant.clear();
    chat.unmarked = cause.what();
  }
  return chat;
}

}  // namespace lathe

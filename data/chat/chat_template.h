#pragma once

#include <ctime>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/jinja/template.h"

// Chat templates: a conversation as the text that a model was made for, and where in it the
// assistant speaks. Renders what Hugging Face's apply_chat_template renders.
namespace lathe {

struct RenderedChat {
  std::string text;
  // Bytes [begin, end) of what the assistant says (or what ChatOptions marks), its end of turn
  // included, rising and apart.
  std::vector<std::pair<size_t, size_t>> assistant;
  // Why the spans are not known (assistant is then empty); empty when they are.
  std::string unmarked;
};

struct ChatOptions {
  bool generation_prompt = false;  // end with the opening of an assistant turn
  bool mark_assistant =
      true;  // find the spans; without {% generation %} this costs two renderings a turn
  // Which messages to find instead of the assistant's, one per message; empty: the assistant's. Of
  // another role's message the header is left out, its end of turn is taken where it can be known.
  std::vector<bool> marked = {};
  std::optional<std::tm>
      now;  // what strftime_now tells; a template that asks for it is an error without
  jinja::Limits limits;
};

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // where: the name of the source in messages. Throws std::invalid_argument with line and column.
  ChatTemplate(std::string_view source, std::string where);

  // context: an object with `messages`, and whatever else the template may ask for: tools,
  // documents, bos_token, eos_token, enable_thinking, ... Throws jinja::Error (a
  // std::invalid_argument), and jinja::Raised when the template itself refuses the conversation.
  RenderedChat render(const nlohmann::ordered_json& context, const ChatOptions& options = {}) const;

 private:
  jinja::Template template_;
};

// The templates that lathe brings: chatml, llama2, llama3, mistral, gemma, phi3, zephyr, alpaca.
// All mark what the assistant says. Throws std::invalid_argument for another name.
ChatTemplate builtin_chat_template(std::string_view name);
std::vector<std::string> builtin_chat_template_names();
std::optional<std::string_view> builtin_chat_template_source(std::string_view name);

}  // namespace lathe

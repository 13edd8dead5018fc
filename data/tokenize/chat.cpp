#include "data/tokenize/chat.h"

#include <stdexcept>

namespace lathe {
namespace {

bool knows_role(const std::string& role) {
  return role == "system" || role == "user" || role == "assistant" || role == "tool";
}

Rendered render_chatml(const std::vector<Message>& messages, bool generation_prompt) {
  Rendered rendered;
  std::string& text = rendered.text;
  for (const Message& message : messages) {
    if (!knows_role(message.role)) {
      throw std::invalid_argument("chat template chatml: unknown role '" + message.role +
                                  "'; expected system, user, assistant or tool");
    }
    text += "<|im_start|>" + message.role + "\n";
    const size_t begin = text.size();
    text += message.content + "<|im_end|>\n";
    if (message.role == "assistant") rendered.trained.emplace_back(begin, text.size());
  }
  if (generation_prompt) text += "<|im_start|>assistant\n";
  return rendered;
}

}  // namespace

Rendered render_chat(const std::string& name, const std::vector<Message>& messages,
                     bool generation_prompt) {
  if (name == "chatml") return render_chatml(messages, generation_prompt);
  throw std::invalid_argument("chat template '" + name + "' is not built in; expected chatml");
}

MaskedIds tokenize_chat(const Tokenizer& tokenizer, const Rendered& rendered, bool assistant_only) {
  Encoding encoding = tokenizer.encode_with_offsets(rendered.text, false);
  MaskedIds result{std::move(encoding.ids), {}};
  result.mask.assign(result.ids.size(), assistant_only ? 0 : 1);
  if (!assistant_only) return result;
  size_t span = 0;
  for (size_t i = 0; i < result.ids.size(); ++i) {
    // A token is trained when it begins within a span: then the whole of it is the answer's, or its
    // last byte is.
    while (span < rendered.trained.size() && rendered.trained[span].second <= encoding.begin[i])
      ++span;
    const bool inside =
        span < rendered.trained.size() && rendered.trained[span].first <= encoding.begin[i];
    result.mask[i] = inside && encoding.end[i] <= rendered.trained[span].second ? 1 : 0;
  }
  return result;
}

}  // namespace lathe

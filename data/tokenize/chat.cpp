#include "data/tokenize/chat.h"

#include <stdexcept>

namespace lathe {

MaskedIds tokenize_chat(const Tokenizer& tokenizer, const RenderedChat& rendered,
                        bool assistant_only) {
  if (assistant_only && !rendered.unmarked.empty()) {
    throw std::invalid_argument(
        "it is not known which part of the text the assistant says: " + rendered.unmarked +
        "; set data.assistant_only_loss to false to train on all tokens, or data.chat_template to "
        "a template with {% generation %} blocks (all built-in ones have them)");
  }
  Encoding encoding = tokenizer.encode_with_offsets(rendered.text, false);
  MaskedIds result{std::move(encoding.ids), {}};
  result.mask.assign(result.ids.size(), assistant_only ? 0 : 1);
  if (!assistant_only) return result;
  const auto& spans = rendered.assistant;
  size_t span = 0;
  for (size_t i = 0; i < result.ids.size(); ++i) {
    // A token is trained when it begins within a span: then the whole of it is the answer's, or its
    // last byte is.
    while (span < spans.size() && spans[span].second <= encoding.begin[i]) ++span;
    const bool inside = span < spans.size() && spans[span].first <= encoding.begin[i];
    result.mask[i] = inside && encoding.end[i] <= spans[span].second ? 1 : 0;
  }
  return result;
}

void drop_untrained(const Conversation& conversation, RenderedChat& rendered) {
  std::vector<bool> kept;
  bool all = true;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const Message& message = conversation.messages[i];
    if (message.role == "assistant") {
      kept.push_back(message.train.value_or(true));
      all = all && kept.back();
    } else if (message.train.value_or(false)) {
      throw std::invalid_argument("messages[" + std::to_string(i) +
                                  "]: asks to be trained on, but its role is " + message.role +
                                  "; only what the assistant says can be");
    }
  }
  if (all || !rendered.unmarked.empty()) return;
  if (rendered.assistant.size() != kept.size()) {
    throw std::invalid_argument(
        "messages: " + std::to_string(kept.size()) +
        " turns of the assistant, but the template marks " +
        std::to_string(rendered.assistant.size()) +
        " parts of the text, so single turns can not be left out of the loss");
  }
  decltype(rendered.assistant) spans;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) spans.push_back(rendered.assistant[i]);
  }
  rendered.assistant = std::move(spans);
}

}  // namespace lathe

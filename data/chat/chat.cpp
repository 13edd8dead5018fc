#include "data/chat/chat.h"

#include <algorithm>
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

std::vector<bool> trained_messages(const Conversation& conversation,
                                   const std::vector<std::string>& roles) {
  std::vector<bool> trained;
  bool usual = true;
  for (const Message& message : conversation.messages) {
    const bool of_role = std::find(roles.begin(), roles.end(), message.role) != roles.end();
    trained.push_back(message.train.value_or(of_role));
    usual = usual && trained.back() == (message.role == "assistant");
  }
  return usual ? std::vector<bool>() : trained;
}

void refuse_double_bos(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  const auto bos = tokenizer.bos();
  if (!bos || ids.size() < 2 || ids[0] != *bos || ids[1] != *bos) return;
  throw std::invalid_argument("begins with the bos token " + tokenizer.token_of(*bos) +
                              " twice: the text brings it, and so does the tokenizer or the chat "
                              "template; take it out of the data");
}

}  // namespace lathe

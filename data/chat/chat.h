#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/chat/chat_template.h"
#include "data/tokenize/tokenizer.h"

// Conversations, and which tokens of a rendered one are trained.
namespace lathe {

struct Message {
  std::string role;  // system | user | assistant | tool, or what else the template knows
  std::string content;
  // What else the message holds (tool_calls, reasoning_content, name, ...) as a JSON object, with
  // "content": null where that is how it stands; empty: nothing.
  std::string extra_json = {};
  std::optional<bool> train = {};  // what the record says about this message's part in the loss
  bool operator==(const Message&) const = default;
};

struct Conversation {
  std::vector<Message> messages;
  // What else the template may ask for (tools, documents, ...), as a JSON object; empty: nothing.
  std::string variables_json = {};
  bool operator==(const Conversation&) const = default;
};

struct MaskedIds {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;  // one per id
};

// Ids of the rendered text (no special tokens added: the template says them), and one mask byte per
// id: 1 when the id lies in what the assistant says. Masks come from offsets, never from searching
// ids. assistant_only false: all 1. Throws std::invalid_argument when the spans are wanted and not
// known.
MaskedIds tokenize_chat(const Tokenizer& tokenizer, const RenderedChat& rendered,
                        bool assistant_only);

// Which messages are trained: what a message says itself, else whether its role is one of these. To
// be marked by the template; empty where that is what the assistant says.
std::vector<bool> trained_messages(const Conversation& conversation,
                                   const std::vector<std::string>& roles);

// Throws std::invalid_argument when the ids begin with the bos token twice, as happens when both
// the text and the tokenizer bring it: models never saw that.
void refuse_double_bos(const Tokenizer& tokenizer, std::span<const int32_t> ids);

}  // namespace lathe

#pragma once

#include <string>
#include <vector>

#include "data/tokenize/tokenizer.h"

// Chat conversations -> the text a model was made for, and which of its tokens are trained.
namespace lathe {

struct Message {
  std::string role;  // system | user | assistant | tool
  std::string content;
  bool operator==(const Message&) const = default;
};

// The conversation as text. trained: byte spans [begin, end) of what the assistant says, its
// end-of-turn token included.
struct Rendered {
  std::string text;
  std::vector<std::pair<size_t, size_t>> trained;
};

// name: a built-in template (chatml). generation_prompt: end with the opening of an assistant turn.
// Throws std::invalid_argument for an unknown name or a role that the template can not say.
Rendered render_chat(const std::string& name, const std::vector<Message>& messages,
                     bool generation_prompt);

// Ids of the rendered text (no special tokens added: the template says them), and one mask byte per
// id: 1 when the id lies in a trained span. Masks come from offsets, never from searching ids.
// assistant_only false: all 1.
struct MaskedIds {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
};
MaskedIds tokenize_chat(const Tokenizer& tokenizer, const Rendered& rendered, bool assistant_only);

}  // namespace lathe

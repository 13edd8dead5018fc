#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/chat/chat_format.h"
#include "data/tokenize/tokenizer.h"

// What verbs that generate are asked, as ids.
namespace lathe {

std::vector<int64_t> text_ids(const Tokenizer& tokenizer, const std::string& text);

// Ends with the opening of the assistant's turn.
std::vector<int64_t> chat_ids(const Tokenizer& tokenizer, const ChatFormat& format,
                              const Conversation& conversation);

// One JSON object {"prompt"}, {"messages"} (with what else the template may ask for: tools,
// documents, chat_template_kwargs) or {"input_ids"}.
std::vector<int64_t> request_ids(std::string_view line, const Tokenizer& tokenizer,
                                 const std::string& chat_template);

}  // namespace lathe

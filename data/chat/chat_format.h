#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/chat/chat.h"
#include "data/chat/chat_template.h"
#include "data/tokenize/tokenizer.h"

// The chat template of a run together with what it asks the tokenizer for. Immutable and
// thread-safe.
namespace lathe {

class ChatFormat {
 public:
  // setting: auto (the template that the tokenizer's folder brings, else chatml), the name of a
  // built-in template, or the path of a .jinja file. Throws std::invalid_argument for anything else
  // and for a template that can not be read.
  // roles: whose messages are trained where a message does not say so itself.
  ChatFormat(const Tokenizer& tokenizer, const std::string& setting,
             std::vector<std::string> roles = {"assistant"});

  // generation_prompt: end with the opening of an assistant turn. mark: find what is trained: what
  // the assistant says, or the roles and messages that are asked for. Throws std::invalid_argument
  // for a conversation that the template refuses, and for tool calls and reasoning that the
  // template would drop without a word.
  RenderedChat render(const Conversation& conversation, bool generation_prompt,
                      bool mark = false) const;

  // The same for `messages` and what else the template may ask for, as a JSON object, whose members
  // win over the tokenizer's special tokens. What the template drops is not refused. Messages may
  // say `train` or `loss` (true, false), `weight` or `loss_weight` (0, 1).
  RenderedChat render_context(const std::string& context_json, bool generation_prompt,
                              bool mark) const;

  const std::string& name() const { return name_; }  // for people: which template this is

  // The template for a model folder, where the tokenizer's brings none or another; empty: it brings
  // this one. Without {% generation %}, which not every reader of templates knows.
  std::string source_to_carry() const;

  // 16 hex digits over the template's text and the special tokens that it may write. The template
  // is not read for it, so that data without conversations may stand beside any template.
  static std::string hash(const Tokenizer& tokenizer, const std::string& setting);

 private:
  struct Source {
    std::string text;
    ChatTemplate chat;
  };
  static Source source_of(const std::string& text, const std::string& where);
  const Source& source_for(const nlohmann::ordered_json& context) const;
  RenderedChat render(const Source& source, const nlohmann::ordered_json& context,
                      bool generation_prompt, bool mark, std::vector<bool> marked) const;

  bool is_folders_own_;
  std::string name_, special_json_;
  std::vector<std::string> roles_;
  std::optional<Source> usual_, for_tools_;  // for_tools_: taken where a conversation has tools
};

// Empty when generation stops where an assistant's turn ends; else what is wrong, for a note. ids:
// the model's eos_token_id.
std::string end_of_turn_note(const ChatFormat& format, const Tokenizer& tokenizer,
                             const std::vector<int64_t>& eos_token_id);

}  // namespace lathe

#include "data/chat/chat_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// A tokenizer of single bytes with an end of turn, and whatever else stands in its folder.
class ChatFormats : public testing::Test {
 protected:
  ChatFormats() {
    std::string vocab;
    for (char letter = 'a'; letter <= 'z'; ++letter)
      vocab += std::string("\"") + letter + "\": " + std::to_string(letter - 'a') + ", ";
    write_text(folder_ / "tokenizer.json",
               R"({"version": "1.0", "added_tokens": [{"id": 27, "content": "<s>", "special": true,
  "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
  {"id": 28, "content": "</s>", "special": true, "single_word": false, "lstrip": false,
  "rstrip": false, "normalized": false}], "normalizer": null, "post_processor": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
  "use_regex": true}, "decoder": {"type": "ByteLevel", "add_prefix_space": false,
  "trim_offsets": false, "use_regex": true}, "model": {"type": "BPE", "dropout": null,
  "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
  "fuse_unk": false, "byte_fallback": false, "merges": [], "vocab": {)" +
                   vocab + R"("Ċ": 26}}})");
    config("");
  }
  void config(const std::string& more) {
    write_text(folder_ / "tokenizer_config.json",
               R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true)" +
                   more + "}");
  }
  Tokenizer tokenizer() const { return Tokenizer(folder_.path()); }
  std::string render(const std::string& setting, const Conversation& talk) const {
    return ChatFormat(tokenizer(), setting).render(talk, true).text;
  }

  TestFolder folder_;
  const Conversation talk_{{{"user", "a"}}};
};

TEST_F(ChatFormats, AutoIsTheFoldersOwnTemplateElseChatml) {
  const std::string chatml = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(render("auto", talk_), chatml);
  EXPECT_THAT(ChatFormat(tokenizer(), "auto").name(), HasSubstr("brings no chat template"));
  config(R"(, "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")");
  EXPECT_EQ(render("auto", talk_), "<s>a</s>");
  EXPECT_EQ(render("chatml", talk_), chatml);
  write_text(folder_ / "chat_template.jinja", "file");
  EXPECT_EQ(render("auto", talk_), "file");
  write_text(folder_ / "mine.jinja", "mine {{ messages | length }}");
  EXPECT_EQ(render(folder_ / "mine.jinja", talk_), "mine 1");
}

TEST_F(ChatFormats, WhatIsCarriedToAnotherFolderWritesTheSame) {
  const Conversation talk{{{"user", "a"}, {"assistant", "b"}, {"user", "c"}}};
  const std::vector<std::string> names = builtin_chat_template_names();
  for (const std::string& name : names) {
    config("");
    const ChatFormat format(tokenizer(), name);
    const std::string source = format.source_to_carry();
    EXPECT_EQ(source.find("generation %}"), source.npos) << name;
    write_text(folder_ / "carried.jinja", source);
    EXPECT_EQ(render(folder_ / "carried.jinja", talk), render(name, talk)) << name;
  }
  EXPECT_EQ(names.size(), 8u);
  config(R"(, "chat_template": "mine")");
  EXPECT_EQ(ChatFormat(tokenizer(), "auto").source_to_carry(), "");
}

TEST_F(ChatFormats, TakesToolUseWhereThereAreTools) {
  config(R"(, "chat_template": [{"name": "default", "template": "D"},
                                {"name": "tool_use", "template": "T {{ tools[0].name }}"}])");
  Conversation talk = talk_;
  EXPECT_EQ(render("auto", talk), "D");
  talk.variables_json = R"({"tools": []})";
  EXPECT_EQ(render("auto", talk), "D");
  talk.variables_json = R"({"tools": [{"name": "f"}]})";
  EXPECT_EQ(render("auto", talk), "T f");
  config(R"(, "chat_template": [{"name": "rag", "template": "R"}])");
  EXPECT_THAT([&] { render("auto", talk); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("none named default")));
}

TEST_F(ChatFormats, PassesAllThatAMessageHolds) {
  write_text(folder_ / "t.jinja",
             "{{ messages[0].name }} {{ messages[0].content is none }} {{ messages[1].content }}");
  const Conversation talk{
      {{"assistant", "", R"({"role": "assistant", "content": null, "name": "x"})"}, {"user", "u"}}};
  EXPECT_EQ(render(folder_ / "t.jinja", talk), "x True u");
}

TEST_F(ChatFormats, WritesToolCallsOrRefusesThem) {
  const Conversation talk{
      {{"user", "q"},
       {"assistant", "",
        R"({"content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}},
                                            {"name": "g", "arguments": "{}"}]})"},
       {"tool", "r"}}};
  EXPECT_EQ(render("chatml", talk),
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n"
            "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call><|im_end|>\n"
            "<|im_start|>tool\nr<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render("chatml", {{{"assistant", "a", R"({"reasoning_content": "r"})"}}}),
            "<|im_start|>assistant\n<think>\nr\n</think>\n\na<|im_end|>\n<|im_start|>assistant\n");
  for (const char* name : {"llama2", "llama3", "mistral", "gemma", "phi3", "zephyr", "alpaca"}) {
    EXPECT_THAT([&] { render(name, talk); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("messages[1]: holds tool_calls")));
  }
}

TEST_F(ChatFormats, RefusesUnknownSettingsAndRoles) {
  EXPECT_THAT([&] { render("frob", talk_); },
              ThrowsMessage<std::invalid_argument>(HasSubstr(
                  "data.chat_template is `frob`; expected auto, one of chatml, llama2, llama3")));
  EXPECT_THAT([&] { render(folder_ / "absent.jinja", talk_); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("can not be opened")));
  EXPECT_THAT(
      [&] {
        render("chatml", {{{"robot", "beep"}}});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("not robot")));
  write_text(folder_ / "broken.jinja", "{% if %}");
  EXPECT_THROW(render(folder_ / "broken.jinja", talk_), std::invalid_argument);
}

TEST_F(ChatFormats, TheHashFollowsTheTextAndTheSpecialTokens) {
  const std::string chatml = ChatFormat::hash(tokenizer(), "chatml");
  EXPECT_EQ(ChatFormat::hash(tokenizer(), "auto"), chatml);
  EXPECT_NE(ChatFormat::hash(tokenizer(), "llama3"), chatml);
  config(R"(, "pad_token": "a")");
  EXPECT_NE(ChatFormat::hash(tokenizer(), "chatml"), chatml);
  write_text(folder_ / "broken.jinja", "{% if %}");
  EXPECT_EQ(ChatFormat::hash(tokenizer(), folder_ / "broken.jinja").size(), 16U);
}

TEST_F(ChatFormats, NotesWhenGenerationWouldNotStopAtTheEndOfATurn) {
  write_text(folder_ / "t.jinja",
             "{% for m in messages %}{{ m.role }}{% generation %}{{ m.content + eos_token + '\n' }}"
             "{% endgeneration %}{% endfor %}");
  const Tokenizer letters = tokenizer();
  const ChatFormat format(letters, folder_ / "t.jinja");
  EXPECT_EQ(end_of_turn_note(format, letters, {5, 28}), "");
  EXPECT_THAT(end_of_turn_note(format, letters, {5}),
              HasSubstr("ends with `</s>` (id 28; " + folder_ / "t.jinja" +
                        "), which is not in the model's eos_token_id [5]"));
  write_text(folder_ / "u.jinja", "{{ messages[0].content }}");
  EXPECT_EQ(end_of_turn_note(ChatFormat(letters, folder_ / "u.jinja"), letters, {}), "");
}

}  // namespace
}  // namespace lathe

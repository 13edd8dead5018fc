#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/corpus.h"
#include "data/corpus/dataset_info.h"
#include "data/prepare.h"
#include "data/prepare_record.h"
#include "tests/data/folder.h"
#include "tests/shared.h"

// Shapes of preferences, and the ids and masks that they become.
namespace lathe {
namespace {

using testing::HasSubstr;
using Messages = std::vector<Message>;

class PreferenceShapes : public testing::Test {
 protected:
  RecordContent read(std::string_view text, const Reading& reading = {}) {
    write_text(path_, text);
    CorpusFile file(path_, reading);
    return file.next().value().content;
  }
  PreferenceRecord pair(std::string_view text, const Reading& reading = {}) {
    return std::get<PreferenceRecord>(read(text, reading));
  }
  UnpairedRecord unpaired(std::string_view text, const Reading& reading = {}) {
    return std::get<UnpairedRecord>(read(text, reading));
  }
  std::string fault(std::string_view text) {
    return message_of([&] { read(text); });
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.jsonl";
};

std::string text_of(const AnswerRecord& answer) {
  const auto& pair = std::get<PairRecord>(answer);
  return pair.prompt + "|" + pair.completion;
}

// user q | assistant a
std::string chat_of(const AnswerRecord& answer) {
  const auto& chat = std::get<ChatRecord>(answer);
  std::string text;
  for (size_t i = 0; i < chat.conversation.messages.size(); ++i) {
    const Message& message = chat.conversation.messages[i];
    text += (i == 0                      ? ""
             : i == chat.prompt_messages ? " | "
                                         : ", ") +
            message.role + " " + message.content;
  }
  return text;
}

void expect_chats(const PreferenceRecord& record, const std::string& chosen,
                  const std::string& rejected) {
  EXPECT_EQ(chat_of(record.chosen), chosen);
  EXPECT_EQ(chat_of(record.rejected), rejected);
}

TEST_F(PreferenceShapes, ThePromptIsSaidOrIsWhatBothBeginWith) {
  PreferenceRecord text = pair(R"({"prompt": "p", "chosen": " c", "rejected": " r"})");
  EXPECT_EQ(text_of(text.chosen), "p| c");
  EXPECT_EQ(text_of(text.rejected), "p| r");
  text = pair(R"({"chosen": "The sky is blue", "rejected": "The sky is green"})");
  EXPECT_EQ(text_of(text.chosen), "The sky is| blue");
  EXPECT_EQ(text_of(text.rejected), "The sky is| green");
  // Two letters that begin with the same byte are not cut.
  EXPECT_EQ(text_of(pair("{\"chosen\": \"ab\u00e4\", \"rejected\": \"ab\u00f6\"}").chosen),
            "ab|\u00e4");
  // Where one is the beginning of the other, something is left of both.
  text = pair(R"({"chosen": "ab", "rejected": "abc"})");
  EXPECT_EQ(text_of(text.chosen), "a|b");
  EXPECT_EQ(text_of(text.rejected), "a|bc");

  expect_chats(
      pair(
          R"({"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "c"}], "rejected": [{"role": "assistant", "content": "r"}]})"),
      "user q | assistant c", "user q | assistant r");
  const std::string implicit =
      R"("chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "c"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}])";
  expect_chats(pair("{" + implicit + "}"), "user q | assistant c", "user q | assistant r");
  // UltraFeedback writes the question as text beside whole conversations.
  expect_chats(pair("{\"prompt\": \"q\", \"messages\": [], " + implicit + "}"),
               "user q | assistant c", "user q | assistant r");
}

TEST_F(PreferenceShapes, OtherToolsShapesAreRead) {
  expect_chats(
      pair(
          R"({"system": "s", "conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "c"}, "rejected": {"from": "gpt", "value": "r"}})"),
      "system s, user q | assistant c", "system s, user q | assistant r");
  expect_chats(pair(R"({"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"})"),
               "user i\nx | assistant c", "user i\nx | assistant r");
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "c"}], )";
  expect_chats(pair(messages + R"("rejected_response": "r"})"), "user q | assistant c",
               "user q | assistant r");
  expect_chats(
      pair(
          messages +
          R"("rejected_messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]})"),
      "user q | assistant c", "user q | assistant r");
}

TEST_F(PreferenceShapes, UnpairedAnswersHaveALabel) {
  const UnpairedRecord text = unpaired(R"({"prompt": "p", "completion": " c", "label": false})");
  EXPECT_EQ(text_of(text.answer), "p| c");
  EXPECT_FALSE(text.label);
  const UnpairedRecord talk = unpaired(
      R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "c"}], "label": true})");
  EXPECT_EQ(chat_of(talk.answer), "user q | assistant c");
  EXPECT_TRUE(talk.label);
  EXPECT_TRUE(
      unpaired(
          R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "c"}], "kto_tag": 1})")
          .label);
  EXPECT_EQ(chat_of(unpaired(R"({"instruction": "i", "output": "o", "kto_tag": true})").answer),
            "user i | assistant o");
}

TEST_F(PreferenceShapes, FaultsNameTheField) {
  EXPECT_THAT(fault(R"({"prompt": "p", "chosen": "c", "rejected": 3})"),
              HasSubstr("rejected: found the number 3, expected a string"));
  EXPECT_THAT(fault(R"({"prompt": "p", "chosen": "c", "rejected": []})"),
              HasSubstr("rejected: found a list, expected what chosen is"));
  EXPECT_THAT(
      fault(
          R"({"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]})"),
      HasSubstr("what chosen and rejected begin with: found no message"));
  EXPECT_THAT(fault(R"({"prompt": "p", "completion": "c", "label": 2})"),
              HasSubstr("label: found the number 2, expected true (a good answer) or false"));
  EXPECT_THAT(fault(R"({"messages": [{"role": "assistant", "content": "c"}], "label": true})"),
              HasSubstr("messages but for the last: found no message"));
}

struct RealFile {
  const char* name;
  bool pairs;
  int64_t records;
};

TEST_F(PreferenceShapes, RealFilesLoad) {
  if (!have_shared("data/preference")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int num_files = 0;
  for (const RealFile& expected :
       {RealFile{"dpo_en.json", true, 300}, RealFile{"dpo_zh.json", true, 300},
        RealFile{"kto_en.json", false, 300}}) {
    CorpusFile file(shared_path(std::string("data/preference/") + expected.name));
    int64_t records = 0;
    for (auto record = file.next(); record; record = file.next(), ++records)
      ASSERT_EQ(std::holds_alternative<PreferenceRecord>(record->content), expected.pairs);
    EXPECT_EQ(records, expected.records) << expected.name;
    ++num_files;
  }
  EXPECT_EQ(num_files, 3);
}

}  // namespace
}  // namespace lathe

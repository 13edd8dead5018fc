#include "data/corpus/shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/corpus.h"
#include "tests/data/folder.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using Messages = std::vector<Message>;

class Shapes : public testing::Test {
 protected:
  RecordContent read(std::string_view text, const Reading& reading = {}) {
    write_text(path_, text);
    CorpusFile file(path_, reading);
    return file.next().value().content;
  }
  ChatRecord chat(std::string_view text, const Reading& reading = {}) {
    return std::get<ChatRecord>(read(text, reading));
  }
  Messages messages(std::string_view text, const Reading& reading = {}) {
    return chat(text, reading).conversation.messages;
  }
  std::string fault(std::string_view text, const Reading& reading = {}) {
    return message_of([&] { read(text, reading); });
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.jsonl";
};

TEST_F(Shapes, EveryNameLeadsToItsShape) {
  EXPECT_EQ(shape_names().size(), 11U);
  for (const std::string_view name : shape_names()) EXPECT_EQ(shape_name(shape_named(name)), name);
  EXPECT_THROW(shape_named("frob"), std::invalid_argument);
}

TEST_F(Shapes, QueryResponseGoesByItsUsualNames) {
  EXPECT_EQ(messages(R"({"question": "q", "answer": "a", "id": 3})"),
            (Messages{{"user", "q"}, {"assistant", "a"}}));
  EXPECT_EQ(
      messages(R"({"query": "q", "response": "a", "system": "s", "history": [["b", "c"]]})"),
      (Messages{
          {"system", "s"}, {"user", "b"}, {"assistant", "c"}, {"user", "q"}, {"assistant", "a"}}));
  EXPECT_EQ(messages(R"({"prompt": "q", "response": "a", "system": "", "history": null})"),
            (Messages{{"user", "q"}, {"assistant", "a"}}));
  write_text(path_, R"({"problem": "q", "solution": "a"})");
  EXPECT_THAT(CorpusFile(path_).reason(),
              HasSubstr("taken as query_response, {\"query\": \"...\", \"response\": \"...\"} or "
                        "{\"question\": \"...\", \"answer\": \"...\"}; problem is the question, "
                        "solution the answer"));
  const char* two = R"({"problem": "q", "solution": "long", "answer": "short"})";
  EXPECT_THAT(
      fault(two),
      HasSubstr(
          "\"answer\", \"solution\" the answer; shape: query_response takes problem and answer"));
  EXPECT_EQ(messages(two, Shape::kQueryResponse),
            (Messages{{"user", "q"}, {"assistant", "short"}}));
  EXPECT_THAT(fault(R"({"question": "q", "answer": 42})"),
              HasSubstr("answer: found the number 42, expected a string"));
  EXPECT_THAT(fault(R"({"query": "q", "response": "a", "history": [["b"]]})"),
              HasSubstr("history[0]: found 1 items"));
}

TEST_F(Shapes, AlpacaPutsTheInputBehindTheInstruction) {
  EXPECT_EQ(messages(R"({"instruction": "i", "input": "x", "output": "o", "system": "s"})"),
            (Messages{{"system", "s"}, {"user", "i\nx"}, {"assistant", "o"}}));
  EXPECT_EQ(messages(R"({"instruction": "i", "input": "", "output": "o"})"),
            (Messages{{"user", "i"}, {"assistant", "o"}}));
  EXPECT_EQ(messages(R"({"instruction": "i", "input": "x", "response": "o"})"),
            (Messages{{"user", "i\nx"}, {"assistant", "o"}}));
  EXPECT_EQ(messages(R"({"instruction": "i", "output": "o", "history": [["a", "b"], ["c", "d"]]})")
                .size(),
            6U);
}

TEST_F(Shapes, PromptCompletionIsTextOrMessages) {
  const PairRecord pair = std::get<PairRecord>(read(R"({"prompt": "p", "completion": " c"})"));
  EXPECT_EQ(pair.prompt + "|" + pair.completion, "p| c");
  const ChatRecord talk = chat(
      R"({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": "c"}]})");
  EXPECT_EQ(talk.prompt_messages, 2U);
  EXPECT_EQ(talk.conversation.messages,
            (Messages{{"system", "s"}, {"user", "p"}, {"assistant", "c"}}));
  EXPECT_THAT(
      fault(
          R"({"prompt": [{"role": "assistant", "content": "p"}], "completion": [{"role": "assistant", "content": "c"}]})"),
      HasSubstr(
          "prompt: found a last message of the role assistant, expected one of user or tool"));
  EXPECT_THAT(fault(R"({"prompt": [{"role": "user", "content": "p"}], "completion": "c"})"),
              HasSubstr("completion: found a string, expected a list of messages"));
}

TEST_F(Shapes, ShareGptBecomesMessages) {
  const ChatRecord talk = chat(
      R"({"conversations": [{"from": "human", "value": "h"}, {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"}, {"from": "observation", "value": "r"}, {"from": "gpt", "value": "g", "weight": 0}], "system": "s", "tools": "[{\"name\": \"f\"}]"})");
  const std::string call = R"({"type":"function","function":{"name":"f","arguments":{"x":1}}})";
  EXPECT_EQ(talk.conversation.messages,
            (Messages{{"system", "s"},
                      {"user", "h"},
                      {"assistant", "", R"({"tool_calls": [)" + call + "]}"},
                      {"tool", "r"},
                      {"assistant", "g", "", false}}));
  EXPECT_EQ(talk.conversation.variables_json, R"({"tools": [{"name":"f"}]})");
  EXPECT_EQ(messages(R"({"conversations": [{"from": "function_call", "value": "f 1"}]})"),
            (Messages{{"assistant", "f 1"}}));
  EXPECT_EQ(messages(R"({"conversation": [{"role": "user", "content": "u"}]})"),
            (Messages{{"user", "u"}}));
  EXPECT_THAT(fault(R"({"conversations": [{"from": "martian", "value": "h"}]})"),
              HasSubstr("conversations[0].from: found `martian`, expected human, user, gpt"));
  EXPECT_THAT(fault(R"({"conversations": [{"from": "human", "value": "h"}], "tools": "{}"})"),
              HasSubstr("tools: found a string that is no JSON list"));
}

TEST_F(Shapes, MessagesKeepWhatTemplatesMayAskFor) {
  const ChatRecord talk = chat(
      R"({"messages": [{"role": "assistant", "content": null, "tool_calls": [{"name": "f"}], "name": null}, {"role": "tool", "content": "r", "tool_call_id": "1"}], "tools": [{"name": "f"}], "documents": null, "chat_template_kwargs": {"enable_thinking": false}})");
  EXPECT_EQ(talk.conversation.messages,
            (Messages{{"assistant", "", R"({"content": null, "tool_calls": [{"name":"f"}]})"},
                      {"tool", "r", R"({"tool_call_id": "1"})"}}));
  EXPECT_EQ(talk.conversation.variables_json,
            R"({"enable_thinking": false, "tools": [{"name":"f"}]})");
  EXPECT_THAT(fault(R"({"messages": [{"role": "assistant", "content": null, "tool_calls": []}]})"),
              HasSubstr("messages[0].content: found null, expected a string"));
  EXPECT_EQ(
      messages(
          R"({"messages": [{"role": "assistant", "content": [{"type": "reasoning", "value": "why"}, {"type": "tool_call", "value": "{\"name\": \"f\"}"}, {"type": "text", "value": "t"}]}]})"),
      (Messages{
          {"assistant", "t",
           R"({"reasoning_content": "why", "tool_calls": [{"type":"function","function":{"name":"f","arguments":{}}}]})"}}));
}

TEST_F(Shapes, AMessageSaysWhetherItIsTrained) {
  const auto train = [&](const std::string& field) {
    return messages(R"({"messages": [{"role": "assistant", "content": "a")" + field + "}]}")[0]
        .train;
  };
  EXPECT_EQ(train(""), std::nullopt);
  for (const char* yes :
       {R"(, "train": true)", R"(, "loss": true)", R"(, "weight": 1)", R"(, "loss_weight": 1.0)"})
    EXPECT_EQ(train(yes), true) << yes;
  for (const char* no :
       {R"(, "train": false)", R"(, "loss": false)", R"(, "weight": 0)", R"(, "loss_weight": 0.0)"})
    EXPECT_EQ(train(no), false) << no;
  EXPECT_THAT(
      message_of([&] { train(R"(, "weight": 0.5)"); }),
      HasSubstr(
          "messages[0].weight: found the number 0.5, expected true, false, 0 or 1; other weights"));
  EXPECT_THAT(message_of([&] { train(R"(, "train": true, "weight": 0)"); }),
              HasSubstr("messages[0].weight: found 0"));
  EXPECT_THAT(message_of([&] { train(R"(, "train": "yes")"); }),
              HasSubstr("messages[0].train: found a string"));
}

TEST_F(Shapes, TwoThatFitAreAnErrorThatAsks) {
  EXPECT_THAT(fault(R"({"text": "t", "messages": []})"),
              HasSubstr("fit more than one shape (text, {\"text\": \"...\"}; messages, "));
  EXPECT_THAT(fault(R"({"question": "q", "answer": "a", "messages": []})"),
              HasSubstr("say which with shape:"));
  EXPECT_THAT(fault(R"({"input_ids": [1], "text": "t"})"), HasSubstr("say which with shape:"));
  EXPECT_EQ(
      messages(R"({"question": "q", "answer": "a", "messages": []})", Shape::kQueryResponse).size(),
      2U);
}

Reading with_columns(std::map<std::string, std::string> columns, Shape shape = Shape::kAuto) {
  Reading reading(shape);
  reading.columns = std::move(columns);
  return reading;
}

TEST_F(Shapes, ColumnsSayWhatTheFileCallsAKey) {
  const Reading reading = with_columns({{"prompt", "q"}, {"completion", "a"}});
  const auto pair = std::get<PairRecord>(read(R"({"q": "x", "a": "y", "prompt": 3})", reading));
  EXPECT_EQ(pair.prompt, "x");
  EXPECT_EQ(pair.completion, "y");
  EXPECT_THAT(CorpusFile(path_, reading).reason(),
              HasSubstr("; completion is the file's a; prompt is the file's q"));
  EXPECT_EQ(
      std::get<TextRecord>(read(R"({"body": "b", "text": 1})", with_columns({{"text", "body"}})))
          .text,
      "b");
  EXPECT_EQ(messages(R"({"sys": "s", "dialog": [{"role": "user", "content": "u"}]})",
                     with_columns({{"messages", "dialog"}, {"system", "sys"}})),
            (Messages{{"system", "s"}, {"user", "u"}}));
  EXPECT_EQ(messages(R"({"output": "i", "input": "o"})",
                     with_columns({{"query", "output"}, {"response", "input"}})),
            (Messages{{"user", "i"}, {"assistant", "o"}}));
  EXPECT_THAT(fault(R"({"q": "x", "b": "y"})", reading),
              HasSubstr("keys: found \"b\", \"prompt\", expected those of one of the shapes"));
  EXPECT_THAT(fault(R"({"q": "x", "b": "y"})",
                    with_columns({{"prompt", "q"}, {"completion", "a"}}, Shape::kPromptCompletion)),
              testing::StartsWith(path_ + ":1: a: found no such key, expected a string"));
  EXPECT_THAT(fault(R"({"q": 7, "a": "y"})", reading), HasSubstr(":1: q: found the number 7"));
  EXPECT_THAT(fault("{}", with_columns({{"promt", "q"}})),
              HasSubstr("columns: no shape has a key `promt`"));
}

TEST_F(Shapes, TagsSayWhatTheTurnsAreMadeOf) {
  Reading reading = with_columns({{"conversations", "talk"}});
  reading.tags = {
      {"role_tag", "who"}, {"content_tag", "says"}, {"user_tag", "me"}, {"assistant_tag", "bot"}};
  EXPECT_EQ(
      messages(
          R"({"talk": [{"who": "system", "says": "s"}, {"who": "me", "says": "u"}, {"who": "bot", "says": "a"}]})",
          reading),
      (Messages{{"system", "s"}, {"user", "u"}, {"assistant", "a"}}));
  EXPECT_THAT(fault(R"({"talk": [{"who": "gpt", "says": "s"}]})", reading),
              HasSubstr("talk[0].who: found `gpt`, expected me, bot, "));
  EXPECT_THAT(fault(R"({"talk": [{"from": "me", "says": "s"}]})", reading),
              HasSubstr("talk[0].who: found no such key"));
  // Messages in all but name keep what only messages can hold.
  reading.columns = {{"messages", "messages"}};
  reading.tags = {{"role_tag", "role"},
                  {"content_tag", "content"},
                  {"user_tag", "user"},
                  {"assistant_tag", "assistant"}};
  EXPECT_EQ(
      messages(
          R"({"messages": [{"role": "assistant", "content": null, "tool_calls": [{"name": "f"}]}]})",
          reading),
      (Messages{{"assistant", "", R"({"content": null, "tool_calls": [{"name":"f"}]})"}}));
  reading.tags = {{"user", "me"}};
  EXPECT_THAT(fault("{}", reading),
              HasSubstr("tags: `user` is none; expected role_tag, content_tag"));
}

TEST_F(Shapes, SegmentsSayWhatIsTrained) {
  const auto record = std::get<SegmentsRecord>(read(
      R"({"segments": [{"label": false, "text": "<s>q"}, {"label": true, "text": "a</s>"}]})"));
  ASSERT_EQ(record.segments.size(), 2U);
  EXPECT_FALSE(record.segments[0].trained);
  EXPECT_TRUE(record.segments[1].trained);
  EXPECT_EQ(record.segments[1].text, "a</s>");
  EXPECT_THAT(fault(R"({"segments": [{"label": 1, "text": "a"}]})"),
              HasSubstr("segments[0].label: found the number 1, expected true (trained) or false"));
  EXPECT_THAT(fault(R"({"segments": [{"label": true}]})"),
              HasSubstr("segments[0].text: found no such key"));
}

TEST_F(Shapes, DeepTextInATextIsNoCall) {
  const std::string deep(100000, '[');
  EXPECT_EQ(
      messages(R"({"conversations": [{"from": "function_call", "value": ")" + deep + R"("}]})")[0]
          .content,
      deep);
}

struct RealFile {
  const char* name;
  Shape shape;
  int64_t records, roles_of_first;
};

TEST_F(Shapes, RealFilesLoad) {
  if (!have_shared("data/sft/gsm8k_train.jsonl")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const std::vector<RealFile> files{{"gsm8k_train.jsonl", Shape::kQueryResponse, 7473, 2},
                                    {"identity.json", Shape::kAlpaca, 91, 2},
                                    {"llamafactory_v1_sft.jsonl", Shape::kMessages, 500, 2},
                                    {"reason_tool_use_50.jsonl", Shape::kMessages, 50, 3},
                                    {"sharegpt_dummy_conversation.json", Shape::kShareGpt, 500, 4},
                                    {"glaive_toolcall_en.json", Shape::kShareGpt, 300, 8}};
  int num_files = 0, num_calls = 0;
  for (const RealFile& expected : files) {
    CorpusFile file(shared_path(std::string("data/sft/") + expected.name));
    EXPECT_EQ(file.shape(), expected.shape) << expected.name;
    int64_t records = 0;
    for (auto record = file.next(); record; record = file.next(), ++records) {
      const auto& talk = std::get<ChatRecord>(record->content).conversation.messages;
      if (records == 0) { EXPECT_EQ(std::ssize(talk), expected.roles_of_first) << expected.name; }
      for (const Message& message : talk)
        num_calls += message.extra_json.find("tool_calls") != std::string::npos;
    }
    EXPECT_EQ(records, expected.records) << expected.name;
    ++num_files;
  }
  EXPECT_EQ(num_files, 6);
  EXPECT_GT(num_calls, 100);
  EXPECT_THAT(
      message_of([] { CorpusFile file(shared_path("data/sft/self_instruct_seed_tasks.jsonl")); }),
      HasSubstr("for each of the instances"));
}

}  // namespace
}  // namespace lathe

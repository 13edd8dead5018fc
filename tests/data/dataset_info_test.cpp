#include "data/corpus/dataset_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using Texts = std::map<std::string, std::string>;

class DatasetInfo : public testing::Test {
 protected:
  std::optional<NamedDataset> find(std::string_view text, const std::string& name = "d") {
    write_text(folder_ / "dataset_info.json", text);
    return find_named_dataset(folder_.path(), name);
  }
  std::string fault(std::string_view text) {
    return message_of([&] { find(text); });
  }
  TestFolder folder_;
};

TEST_F(DatasetInfo, AlpacaIsTheUsualFormatting) {
  const NamedDataset plain = find(R"({"d": {"file_name": "d.json"}})").value();
  EXPECT_EQ(plain.path, folder_ / "d.json");
  EXPECT_EQ(plain.reading.shape, Shape::kAlpaca);
  EXPECT_EQ(plain.reading.columns, Texts{});
  const NamedDataset mapped =
      find(
          R"({"d": {"file_name": "/x/d.json", "columns": {"prompt": "q", "query": null, "response": "a", "history": "h"}}})")
          .value();
  EXPECT_EQ(mapped.path, "/x/d.json");
  EXPECT_EQ(mapped.reading.columns,
            (Texts{{"instruction", "q"}, {"output", "a"}, {"history", "h"}}));
}

TEST_F(DatasetInfo, APromptAloneIsText) {
  const NamedDataset text =
      find(R"({"d": {"file_name": "d", "columns": {"prompt": "body"}}})").value();
  EXPECT_EQ(text.reading.shape, Shape::kText);
  EXPECT_EQ(text.reading.columns, (Texts{{"text", "body"}}));
}

TEST_F(DatasetInfo, ShareGptHasTags) {
  const NamedDataset chat =
      find(
          R"({"d": {"file_name": "d", "formatting": "sharegpt", "columns": {"messages": "m", "tools": "t"}, "tags": {"role_tag": "role"}}})")
          .value();
  EXPECT_EQ(chat.reading.shape, Shape::kShareGpt);
  EXPECT_EQ(chat.reading.columns, (Texts{{"conversations", "m"}, {"tools", "t"}}));
  EXPECT_EQ(chat.reading.tags, (Texts{{"role_tag", "role"}}));
}

TEST_F(DatasetInfo, WhatItReadsIsReadByTheCorpus) {
  write_text(folder_ / "d.jsonl",
             R"({"m": [{"role": "me", "content": "u"}, {"role": "bot", "content": "a"}]})");
  const NamedDataset chat =
      find(R"({"d": {"file_name": "d.jsonl", "formatting": "sharegpt", "columns": {"messages": "m"},
               "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "me", "assistant_tag": "bot"}}})")
          .value();
  CorpusFile file(chat.path, chat.reading);
  EXPECT_EQ(std::get<ChatRecord>(file.next().value().content).conversation.messages,
            (std::vector<Message>{{"user", "u"}, {"assistant", "a"}}));
}

TEST_F(DatasetInfo, NamesThatAreNotThereAreNoFault) {
  EXPECT_FALSE(find("{}").has_value());
  EXPECT_FALSE(find_named_dataset(folder_ / "absent", "d").has_value());
  EXPECT_THAT(dataset_names(folder_ / "absent"), testing::IsEmpty());
  find(R"({"b": {}, "a": {}})");
  EXPECT_THAT(dataset_names(folder_.path()), testing::ElementsAre("a", "b"));
}

TEST_F(DatasetInfo, RefusesByNameWhatItCanNotRead) {
  EXPECT_THAT(fault("[]"), HasSubstr("dataset_info.json: is not a JSON object"));
  EXPECT_THAT(fault("{"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(fault("{\"d\": " + std::string(100000, '[')), HasSubstr("is nested too deep"));
  EXPECT_THAT(fault(R"({"d": 1})"), HasSubstr("dataset_info.json: d: expected an object"));
  EXPECT_THAT(fault(R"({"d": {"hf_hub_url": "a/b"}})"), HasSubstr("the network is never used"));
  EXPECT_THAT(fault(R"({"d": {"file_name": 1}})"), HasSubstr("d: expected texts"));
  EXPECT_THAT(fault(R"({"d": {"file_name": "d", "ranking": true}})"),
              HasSubstr("preference pairs"));
  EXPECT_THAT(fault(R"({"d": {"file_name": "d", "num_samples": 9}})"),
              HasSubstr("num_samples is not supported"));
  EXPECT_THAT(fault(R"({"d": {"file_name": "d", "formatting": "xml"}})"),
              HasSubstr("expected alpaca or sharegpt"));
  EXPECT_THAT(fault(R"({"d": {"file_name": "d", "columns": {"images": "i", "prompt": "p"}}})"),
              HasSubstr("columns.images: is not read"));
  EXPECT_THAT(fault(R"({"d": {"file_name": "d", "columns": {"prompt": 1}}})"),
              HasSubstr("columns.prompt: expected a text"));
}

}  // namespace
}  // namespace lathe

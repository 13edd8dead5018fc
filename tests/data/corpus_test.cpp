#include "data/corpus/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/bad_record.h"
#include "data/corpus/lines.h"
#include "tests/data/folder.h"
#include "tests/shared.h"

namespace lathe {
namespace {

using testing::HasSubstr;

class Corpus : public testing::Test {
 protected:
  std::vector<Record> read(std::string_view text, Shape shape = Shape::kAuto) {
    write_text(path_, text);
    CorpusFile file(path_, shape);
    std::vector<Record> records;
    while (auto record = file.next()) records.push_back(std::move(*record));
    EXPECT_EQ(file.bytes_read(), file.bytes_total());
    return records;
  }
  // The message without the folder, so that it can be compared whole.
  std::string fault(std::string_view text, Shape shape = Shape::kAuto) {
    std::string message = message_of([&] { read(text, shape); });
    if (message.starts_with(path_)) message = "a" + message.substr(path_.size());
    return message;
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.jsonl";
};

TEST_F(Corpus, ReadsText) {
  const auto records = read(
      "{\"text\": \"one\", \"source\": {\"x\": [1]}}\n{\"id\": 3, \"text\": "
      "\"tw\\u00f6\\ud83d\\ude00\"}\n");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(std::get<TextRecord>(records[0].content).text, "one");
  EXPECT_EQ(std::get<TextRecord>(records[1].content).text, "tw\u00f6\U0001f600");
  EXPECT_EQ(records[1].line, 2);
}

TEST_F(Corpus, ReadsMessages) {
  const auto records = read(
      R"({"messages": [{"role": "user", "content": "hi", "name": "x"}, {"role": "assistant", "content": ""}]})");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(std::get<ChatRecord>(records[0].content).conversation.messages,
            (std::vector<Message>{{"user", "hi", R"({"name": "x"})"}, {"assistant", ""}}));
}

TEST_F(Corpus, JoinsTheTextPartsOfAMessage) {
  const auto records = read(
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}]}]})");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(std::get<ChatRecord>(records[0].content).conversation.messages,
            (std::vector<Message>{{"user", "ab"}}));
  EXPECT_THAT(
      fault(R"({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]})"),
      HasSubstr(
          "messages[0].content[0].type: found `image`, expected text, reasoning or tool_call"));
  EXPECT_THAT(fault(R"({"messages": [{"role": "user", "content": ["a"]}]})"),
              HasSubstr("messages[0].content[0]: found a string"));
}

TEST_F(Corpus, ReadsTokens) {
  const auto records = read(
      "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, -100], \"attention_mask\": [1, 1, "
      "1]}\n{\"input_ids\": []}");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(std::get<TokenRecord>(records[0].content).input_ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(std::get<TokenRecord>(records[0].content).labels,
            (std::vector<int32_t>{-100, 2, -100}));
  EXPECT_TRUE(std::get<TokenRecord>(records[1].content).labels.empty());
}

TEST_F(Corpus, TakesLineEndsAsTheyCome) {
  const auto records =
      read("\xef\xbb\xbf{\"text\":\"1\"}\r\n\r\n  \t\n{\"text\":\"2\"}\n\n{\"text\":\"3\"}");
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[1].line, 4);
  EXPECT_EQ(records[2].line, 6);
  EXPECT_TRUE(read("").empty());
  EXPECT_TRUE(read("\n\n").empty());
  EXPECT_TRUE(read("\xef\xbb\xbf").empty());
}

TEST_F(Corpus, SaysWhatItTookAndWhy) {
  write_text(path_, R"({"id": "x", "messages": [{"role": "user", "content": "y"}]})");
  const CorpusFile file(path_);
  EXPECT_EQ(file.shape(), Shape::kMessages);
  EXPECT_THAT(
      file.reason(),
      HasSubstr(R"(a.jsonl:1: the first record has the keys "id", "messages": taken as messages)"));
  write_text(path_, R"({"text": "x", "messages": [{"role": "user", "content": "y"}]})");
  const CorpusFile asked(path_, Shape::kText);
  EXPECT_EQ(asked.shape(), Shape::kText);
  EXPECT_THAT(asked.reason(), HasSubstr("the shape text was asked for"));
}

TEST_F(Corpus, FaultsNameLineFieldFoundExpected) {
  EXPECT_EQ(fault("{\"text\": \"ok\"}\n{\"text\": 7}"),
            "a:2: text: found the number 7, expected a string; the record has the keys \"text\"; "
            "nearest shape: text, "
            "{\"text\": \"...\"}");
  EXPECT_EQ(fault("{\"text\": \"ok\"}\n{\"messages\": []}"),
            "a:2: text: found no such key, expected a string; the record has the keys "
            "\"messages\"; nearest shape: messages, "
            "{\"messages\": [{\"role\": \"...\", \"content\": \"...\"}, ...]}");
  const auto begins = [&](const char* text, const char* begin) {
    EXPECT_THAT(fault(text), testing::StartsWith(begin));
  };
  begins(
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]})",
      "a:1: messages[1].content: found null, expected a string;");
  begins(R"({"messages": [{"role": "user"}]})",
         "a:1: messages[0].content: found no such key, expected a string;");
  begins(R"({"messages": [{"role": "user", "content": null}]})",
         "a:1: messages[0].content: found null, expected a string;");
  begins(R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})",
         "a:1: messages[0].content[0].text: found no such key, expected a string;");
  begins(R"({"messages": [{"role": "", "content": "x"}]})",
         "a:1: messages[0].role: found an empty string,");
  begins(R"({"messages": ["x"]})", "a:1: messages[0]: found a string, expected an object");
  begins(R"({"messages": "x"})", "a:1: messages: found a string, expected a list of messages");
  begins(R"({"messages": []})",
         "a:1: messages: found an empty list, expected at least one message");
  begins(R"({"text": "a", "text": "b"})", "a:1: text: found the key twice, expected it once");
  begins(R"({"input_ids": [1, 2.5]})",
         "a:1: input_ids[1]: found the number 2.5, expected an integer of 32 bits");
  begins(R"({"input_ids": [4294967296]})", "a:1: input_ids[0]: found the number 4294967296,");
  begins(R"({"input_ids": [1, 2], "labels": [1]})",
         "a:1: labels: found 1 labels, expected 2, one per input id");
  begins(R"({"input_ids": [1, 2], "labels": [2, -100]})",
         "a:1: labels[0]: found 2, expected -100 or the input id itself, 1");
  begins(R"({"input_ids": [1], "labels": null})",
         "a:1: labels: found null, expected a list of integers");
}

TEST_F(Corpus, FaultsSayTheNearestShapeAndWhatToDo) {
  EXPECT_THAT(fault(R"({"chosen": [], "rejected": [], "messages": []})"),
              HasSubstr("nearest shape: preference, {"));
  EXPECT_THAT(fault(R"({"messages": [], "label": true})"), HasSubstr("nearest shape: unpaired, {"));
  EXPECT_THAT(fault(R"({"tokens": []})"), HasSubstr("rename tokens to input_ids"));
  EXPECT_THAT(fault(R"({"foo": ""})"),
              HasSubstr("of the shapes text, messages, tokens, prompt_completion, query_response, "
                        "alpaca, sharegpt, segments, preference, unpaired; nearest shape: none"));
  EXPECT_THAT(fault("{}"), HasSubstr("found no key"));
}

TEST_F(Corpus, RefusesBrokenLines) {
  const std::vector<std::string> broken{"{\"text\": \"a\"",
                                        "{\"text\": \"a\"} x",
                                        "{\"text\": \"\\ud800\"}",
                                        "{\"text\": \"\\udc00x\"}",
                                        "{\"text\": \"\xc0\x80\"}",
                                        "{\"text\": \"\xed\xa0\x80\"}",
                                        "{\"text\": \"\xff\"}",
                                        "{\"text\": \"a\tb\"}",
                                        std::string("{\"text\": \"a\0\"}", 13),
                                        std::string("\0\0", 2),
                                        "{'text': 'a'}",
                                        "{\"text\": \"cut off",
                                        "nan",
                                        "{\"text\": 1e}",
                                        "{\"other\": \"\\ud800\", \"text\": \"a\"}"};
  for (const std::string& line : broken) {
    EXPECT_THAT(fault("{\"text\": \"ok\"}\r\n" + line + "\n"),
                testing::StartsWith("a:2: found broken JSON ("))
        << line;
  }
  EXPECT_THAT(fault("3"),
              testing::StartsWith("a:1: found the number 3, expected one JSON object per line"));
  EXPECT_THAT(fault("{\n\"text\": \"a\"\n}\n"), HasSubstr("jq -c ."));
}

TEST_F(Corpus, RefusesDeepNestingWithoutCrashing) {
  const std::string deep =
      "{\"text\": \"a\", \"x\": " + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_THAT(fault(deep), HasSubstr("too deep"));
  EXPECT_EQ(fault("{\"text\": \"a\", \"x\": " + std::string(30, '[') + std::string(30, ']') + "}"),
            "");
}

TEST_F(Corpus, RefusesALineOverTheLimitInBoundedMemory) {
  const std::string fits = "{\"text\": \"" + std::string(kMostLineBytes - 12, 'a') + "\"}";
  ASSERT_EQ(fits.size(), kMostLineBytes);
  EXPECT_EQ(read(fits + "\n" + fits).size(), 2U);
  EXPECT_THAT(fault("{\"text\": \"ok\"}\n" + fits + " "),
              testing::StartsWith("a:2: the line is longer than 16777216 bytes"));
}

TEST_F(Corpus, ABadRecordDoesNotHideTheNext) {
  write_text(path_, "{broken\n{\"text\": \"a\"}\n" + std::string(kMostLineBytes + 2, 'x') +
                        "\n{\"text\": 7}\n{\"text\": \"b\"}");
  CorpusFile file(path_);
  std::vector<int64_t> bad;
  std::vector<std::string> texts;
  for (bool more = true; more;) {
    try {
      const auto record = file.next();
      more = record.has_value();
      if (more) texts.push_back(std::get<TextRecord>(record->content).text);
    } catch (const BadRecord& fault) {
      bad.push_back(fault.line);
    }
  }
  EXPECT_EQ(bad, (std::vector<int64_t>{1, 3, 4}));
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(file.shape(), Shape::kText);
}

TEST_F(Corpus, ReadsOnFromTheEndOfAnyRecord) {
  const std::vector<std::pair<const char*, std::string>> files{
      {"a.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}\r\n\n{\"text\": \"b\"}\n{\"text\": \"c\"}"},
      {"a.json", " [{\"text\": \"a\"},\n {\"text\": \"b\"} ,{\"text\": \"c\"}\n]\n"},
      {"a.csv", "\xef\xbb\xbftext\na\r\n\"b\"\nc"},
      {"a.txt", "a"}};
  int64_t compared = 0;
  for (const auto& [name, text] : files) {
    write_text(folder_ / name, text);
    CorpusFile whole(folder_ / name);
    std::vector<std::pair<std::string, int64_t>> texts;
    std::vector<FilePosition> ends;
    while (const auto record = whole.next_text()) {
      texts.emplace_back(record->text, record->line);
      ends.push_back(record->end);
    }
    for (size_t i = 0; i < ends.size(); ++i) {
      CorpusFile rest(folder_ / name, Shape::kText, ends[i]);
      for (size_t k = i + 1; k < texts.size(); ++k, ++compared) {
        const auto record = rest.next_text();
        ASSERT_TRUE(record.has_value()) << name;
        EXPECT_EQ(record->text, texts[k].first) << name;
        EXPECT_EQ(record->line, texts[k].second) << name;
      }
      EXPECT_FALSE(rest.next_text().has_value()) << name;
    }
  }
  EXPECT_EQ(compared, 9);
}

TEST_F(Corpus, NamesWhatItCanNotOpen) {
  EXPECT_THAT(message_of([&] { CorpusFile file(folder_ / "absent"); }),
              HasSubstr("absent: can not open: No such file"));
  EXPECT_THAT(message_of([&] { CorpusFile file(folder_.path()); }), HasSubstr("is a folder"));
}

TEST_F(Corpus, ExpandsFilesFoldersAndPatterns) {
  for (const char* name : {"b.jsonl", "a.jsonl", "c.txt"}) write_text(folder_ / name, "");
  const std::vector<std::string> both{folder_ / "a.jsonl", folder_ / "b.jsonl"};
  EXPECT_EQ(expand_paths(folder_.path()), both);
  EXPECT_EQ(expand_paths(folder_ / "*.jsonl"), both);
  EXPECT_EQ(expand_paths(folder_ / "c.txt"), (std::vector<std::string>{folder_ / "c.txt"}));
  EXPECT_THROW(expand_paths(folder_ / "*.gz"), std::invalid_argument);
  std::filesystem::create_directory(folder_ / "empty");
  EXPECT_THAT(message_of([&] { expand_paths(folder_ / "empty"); }),
              HasSubstr("holds no *.jsonl, *.json, *.parquet, *.csv, *.tsv, *.txt, *.warc or *.wet"));
}

}  // namespace
}  // namespace lathe

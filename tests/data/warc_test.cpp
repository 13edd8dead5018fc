// WARC files: which records are texts, and what is wrong with those that are none.
#include "data/corpus/warc.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "data/corpus/bad_record.h"
#include "data/corpus/corpus.h"
#include "data/corpus/lines.h"
#include "data/curate/curate.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::string record(const std::string& type, const std::string& content, const std::string& block,
                   const std::string& uri = "http://a.example/") {
  return fmt::format(
      "WARC/1.0\r\nWARC-Type: {}\r\nWARC-Target-URI: {}\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
      "Content-Type: {}\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n",
      type, uri, content, block.size(), block);
}

std::string text_record(const std::string& text) {
  return record("conversion", "text/plain", text);
}

std::string http(const std::string& head, const std::string& body) {
  return record("response", "application/http; msgtype=response", head + "\r\n\r\n" + body);
}

class Warc : public testing::Test {
 protected:
  std::vector<std::string> read(std::string_view bytes) {
    write_text(path_, bytes);
    CorpusFile file(path_);
    std::vector<std::string> texts;
    while (const auto one = file.next()) {
      texts.push_back(std::get<TextRecord>(one->content).text);
      lines_.push_back(one->line);
    }
    return texts;
  }
  std::string fault(std::string_view bytes) {
    return message_of([&] { read(bytes); });
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.warc";
  std::vector<int64_t> lines_;
};

TEST_F(Warc, ConversionsAndPlainResponsesAreTexts) {
  const std::string ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8";
  EXPECT_THAT(
      read(record("warcinfo", "application/warc-fields", "software: x\r\n") +
           text_record("One\ntwo") + record("conversion", "text/html", "<p>") +
           record("request", "application/http", "GET /") + http(ok, "A page.\r\n\r\nMore.") +
           http("HTTP/1.1 404 No\r\nContent-Type: text/plain", "no") +
           http("HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>") +
           http(ok + "\r\nContent-Encoding: gzip", "\x1f\x8b") +
           http(ok + "\r\nTransfer-Encoding: chunked", "1\r\na") + text_record("") +
           record("response", "text/plain", "no HTTP") + text_record("\xc3\xa9nd")),
      ElementsAre("One\ntwo", "A page.\r\n\r\nMore.", "", "\xc3\xa9nd"));
  EXPECT_EQ(lines_[0], 11);
}

TEST_F(Warc, TheAddressGoesAlong) {
  write_text(path_, record("conversion", "Text/Plain", "x", "http://b.example/\"q\""));
  InputFile input(path_);
  WarcReader reader(input);
  const json object = json::parse(reader.next().value());
  EXPECT_EQ(object["text"], "x");
  EXPECT_EQ(object["url"], "http://b.example/\"q\"");
  EXPECT_EQ(object["id"], "<urn:uuid:1>");
  EXPECT_FALSE(reader.next().has_value());
}

TEST_F(Warc, MembersOfGzipAreOneFile) {
  const std::string packed = folder_ / "b.warc.gz";
  for (const char* text : {"one", "two"}) {
    gzFile file = gzopen(packed.c_str(), "ab");
    const std::string bytes = text_record(text);
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
  }
  CorpusFile file(packed);
  EXPECT_EQ(std::get<TextRecord>(file.next()->content).text, "one");
  EXPECT_EQ(std::get<TextRecord>(file.next()->content).text, "two");
  EXPECT_FALSE(file.next().has_value());
  EXPECT_EQ(expand_paths(folder_ / ""), std::vector{packed});
}

TEST_F(Warc, ReadingGoesOnBehindAnyRecord) {
  std::string bytes;
  for (int i = 0; i < 20; ++i)
    bytes += text_record("text " + std::to_string(i)) + record("metadata", "text/plain", "m\n");
  write_text(path_, bytes);
  CorpusFile whole(path_);
  for (int i = 0; i < 19; ++i) {
    ASSERT_TRUE(whole.next().has_value());
    CorpusFile rest(path_, Shape::kText, whole.position());
    const auto one = rest.next();
    EXPECT_EQ(std::get<TextRecord>(one->content).text, "text " + std::to_string(i + 1));
    EXPECT_EQ(one->line, 1 + 19 * (i + 1));
  }
}

TEST_F(Warc, ATextThatIsNoneIsRefusedAndTheNextIsRead) {
  const std::string big(kMostLineBytes + 1, 'x');
  write_text(path_,
             text_record("first") + text_record("\xff") + text_record(big) + text_record("last"));
  CorpusFile file(path_);
  EXPECT_TRUE(file.next().has_value());
  EXPECT_THAT(message_of([&] { file.next(); }), HasSubstr("a.warc:10: the text is not UTF-8"));
  EXPECT_THAT(message_of([&] { file.next(); }),
              HasSubstr("the text has 16777217 bytes, expected at most 16777216"));
  EXPECT_EQ(std::get<TextRecord>(file.next()->content).text, "last");
  EXPECT_EQ(read(text_record(std::string(kMostLineBytes, 'x')))[0].size(), kMostLineBytes);
}

TEST_F(Warc, DamageIsNamed) {
  const std::string good = text_record("good");
  EXPECT_THAT(fault(good.substr(0, good.size() - 6)),
              HasSubstr("before its Content-Length is reached"));
  EXPECT_THAT(fault("WARC/1.0\r\nWARC-Type: conversion\r\n"),
              HasSubstr("ends within this record's header"));
  EXPECT_THAT(fault("WARC/1.0\r\nWARC-Type: conversion\r\n\r\n"),
              HasSubstr(":1: the record's Content-Length is missing"));
  for (const char* length : {"-1", "9223372036854775808", "12x", "0x10", "1e3"})
    EXPECT_THAT(fault(fmt::format("WARC/1.0\r\nContent-Length: {}\r\n\r\n", length)),
                HasSubstr(fmt::format("Content-Length is `{}`, expected a number", length)));
  EXPECT_THAT(fault("WARC/1.0\r\nContent-Length: 9223372036854775807\r\n\r\nabc"),
              HasSubstr("before its Content-Length is reached"));
  EXPECT_THAT(fault("WARC/1.0\r\nno field\x01\r\n\r\n"),
              HasSubstr("has the line `no field?`, expected Name: value"));
  EXPECT_THAT(fault("WARC/1.0\r\nX: " + std::string(70'000, 'y') + "\r\n\r\n"),
              HasSubstr("header is longer than 65536 bytes"));
  EXPECT_THAT(fault("WARC/1.0\r\nContent-Length: 1\r\n\r\nabc" + good),
              HasSubstr("found `bcWARC/1.0??`, expected the first line of a WARC record"));
}

// CSV and WARC through all passes.
TEST_F(Warc, IsCuratedAndSoAreRowsOfCsv) {
  write_text(path_,
             text_record("A text of the web.") + text_record("\xff") + text_record("Another one."));
  write_text(folder_ / "t.csv",
             "text,n\n\"A row, with a comma.\",1\nAnother row.,2\nAnother row.,3\n");
  CurateOptions options;
  options.sources.resize(2);
  options.sources[0].name = "web";
  options.sources[0].files = {path_};
  options.sources[1].name = "table";
  options.sources[1].files = {folder_ / "t.csv"};
  const CurateResult result = curate(options, folder_ / "out");
  EXPECT_EQ(result.read, 6);
  EXPECT_EQ(result.dropped_by,
            (std::map<std::string, int64_t>{{"bad_record", 1}, {"exact_duplicate", 1}}));
  const std::string web = read_file(folder_ / "out/kept/web/part-000000.jsonl");
  const json first = json::parse(web.substr(0, web.find('\n')));
  EXPECT_EQ(first["url"], "http://a.example/");
  EXPECT_EQ(first["curated"]["id"], "web/a.warc:1");
  const std::string table = read_file(folder_ / "out/kept/table/part-000001.jsonl");
  EXPECT_THAT(table, HasSubstr("\"A row, with a comma.\""));
}

}  // namespace
}  // namespace lathe

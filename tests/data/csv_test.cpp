#include "data/corpus/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/corpus/bad_record.h"
#include "data/corpus/corpus.h"
#include "data/corpus/lines.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Csv : public testing::Test {
 protected:
  struct Row {
    int64_t line;
    std::string prompt, completion;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> read(std::string_view text) {
    write_text(path_, text);
    CorpusFile file(path_);
    std::vector<Row> rows;
    while (const auto record = file.next()) {
      const auto& pair = std::get<PairRecord>(record->content);
      rows.push_back({record->line, pair.prompt, pair.completion});
    }
    return rows;
  }
  std::string fault(std::string_view text) {
    const std::string message = message_of([&] { read(text); });
    return message.starts_with(path_) ? message.substr(path_.size()) : message;
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.csv";
};

TEST_F(Csv, TheHeaderNamesTheKeysOfEveryRow) {
  EXPECT_EQ(read("prompt,completion\na,b\nc,d\n"),
            (std::vector<Row>{{2, "a", "b"}, {3, "c", "d"}}));
  EXPECT_EQ(read("\xef\xbb\xbf\"prompt\",id,completion\r\na,1,b\r\n\r\n,,\r\n"),
            (std::vector<Row>{{2, "a", "b"}, {4, "", ""}}));
  EXPECT_EQ(read("completion,prompt\nb,a"), (std::vector<Row>{{2, "a", "b"}}));
  EXPECT_EQ(read("prompt,completion\n").size(), 0U);
  EXPECT_EQ(read("").size(), 0U);
}

TEST_F(Csv, QuotedCellsHoldSeparatorsLineEndsAndQuotes) {
  EXPECT_EQ(read("prompt,completion\n\"a, b\",\"line 1\nline 2\r\n\"\n\"say \"\"hi\"\"\",5\" "
                 "wide\n\"\",x\n"),
            (std::vector<Row>{
                {2, "a, b", "line 1\nline 2\r\n"}, {5, "say \"hi\"", "5\" wide"}, {6, "", "x"}}));
  EXPECT_EQ(read("prompt,completion\n\\,\t\x01\n"), (std::vector<Row>{{2, "\\", "\t\x01"}}))
      << "no letter has a meaning but the separator, the line end and the quote";
}

TEST_F(Csv, TabsSeparateATsv) {
  path_ = folder_ / "a.tsv";
  EXPECT_EQ(read("prompt\tcompletion\na,\tb\n"), (std::vector<Row>{{2, "a,", "b"}}));
}

TEST_F(Csv, FaultsNameTheLineAndTheColumn) {
  EXPECT_THAT(fault("prompt,completion\na,b\nc\n"),
              StartsWith(":3: found 1 cells, expected 2, one per column of the header (\"prompt\", "
                         "\"completion\")"));
  EXPECT_THAT(fault("prompt,completion\na,b,c\n"), StartsWith(":2: found 3 cells, expected 2"));
  EXPECT_THAT(fault("prompt,completion\na,\xff\n"),
              StartsWith(":2: \"completion\": the text is not UTF-8"));
  EXPECT_THAT(fault("prompt,\xff\na,b\n"), StartsWith(":1: the text is not UTF-8"));
  EXPECT_THAT(fault("prompt,completion\n\"a\" b,c\n"),
              StartsWith(":2: found ` ` behind a closing quote"));
  EXPECT_THAT(fault("prompt,completion\na,\"b\nc"),
              StartsWith(":2: the quote that opens here is never closed"));
  EXPECT_THAT(fault("prompt,,completion\n"), StartsWith(":1: a column of the header has no name"));
  EXPECT_THAT(fault("prompt,prompt\n"),
              StartsWith(":1: the header names the column \"prompt\" twice"));
  EXPECT_THAT(fault("a,b\n1,2\n"),
              StartsWith(":2: keys: found \"a\", \"b\", expected those of one of"));
}

TEST_F(Csv, RefusesAnEndlessRowInBoundedMemory) {
  EXPECT_THAT(fault("prompt,completion\na,b\n\"" + std::string(kMostLineBytes, 'a')),
              StartsWith(":3: the row is longer than 16777216 bytes"));
}

TEST_F(Csv, ARowOfOtherWidthDoesNotHideTheNext) {
  write_text(path_, "text\na,b\nc\n");
  CorpusFile file(path_, Shape::kText);
  EXPECT_THROW(file.next(), BadRecord);
  EXPECT_EQ(std::get<TextRecord>(file.next().value().content).text, "c");
}

TEST_F(Csv, OtherTablesAreRefusedByName) {
  write_text(folder_ / "a.arrow", "ARROW1..");
  EXPECT_THAT(message_of([&] { CorpusFile file(folder_ / "a.arrow"); }),
              HasSubstr("is an Arrow file, which is not read; write it as JSON lines"));
}

}  // namespace
}  // namespace lathe

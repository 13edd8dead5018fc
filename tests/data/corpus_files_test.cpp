#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "data/corpus/corpus.h"
#include "data/corpus/items.h"
#include "data/corpus/lines.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

class CorpusFiles : public testing::Test {
 protected:
  // The texts of the records, each with its line.
  std::vector<std::pair<int64_t, std::string>> read(const std::string& name,
                                                    Shape shape = Shape::kAuto) {
    CorpusFile file(folder_ / name, shape);
    std::vector<std::pair<int64_t, std::string>> records;
    while (auto record = file.next())
      records.emplace_back(record->line, std::get<TextRecord>(record->content).text);
    EXPECT_EQ(file.bytes_read(), file.bytes_total());
    return records;
  }
  std::string list_fault(std::string_view text) {
    write_text(folder_ / "a.json", text);
    const std::string message = message_of([&] { read("a.json"); });
    return message.starts_with(folder_ / "a.json") ? message.substr((folder_ / "a.json").size())
                                                   : message;
  }
  using Texts = std::vector<std::pair<int64_t, std::string>>;

  TestFolder folder_;
};

TEST_F(CorpusFiles, ReadsAListItemByItem) {
  write_text(folder_ / "a.json",
             "\xef\xbb\xbf\n[\n  {\"text\": \"a]},{[\\\"\\\\\", \"x\": [[1], {}]},\r\n\n"
             "  {\n    \"text\": \"b\"\n  } , {\"text\": \"c\"}\n]\n \n");
  EXPECT_EQ(read("a.json"), (Texts{{3, "a]},{[\"\\"}, {5, "b"}, {7, "c"}}));
  write_text(folder_ / "a.json", "[{\"text\":\"a\"}]");
  EXPECT_EQ(read("a.json"), (Texts{{1, "a"}}));
  write_text(folder_ / "a.json", " [ ] ");
  EXPECT_EQ(read("a.json"), Texts{});
}

TEST_F(CorpusFiles, AListOverManyReadsIsWhole) {
  std::string text = "[";
  for (int i = 0; i < 3000; ++i) {
    text += (i ? ",\n" : "") + ("{\"text\": \"" + std::string(100 + i % 7, 'a') + "\"}");
  }
  write_text(folder_ / "a.json", text + "]");
  const Texts records = read("a.json");
  ASSERT_EQ(records.size(), 3000U);
  for (int i = 0; i < 3000; ++i) {
    EXPECT_EQ(records[i].first, i + 1);
    EXPECT_EQ(records[i].second.size(), 100U + i % 7);
  }
}

TEST_F(CorpusFiles, RefusesListsThatAreNone) {
  const char* cut = ": the file ends within the list; it is cut off";
  for (const char* text :
       {"[", "[{\"text\": \"a\"}", "[{\"text\": \"a\"},", "[{\"text\": \"a", "[{\"text\": \"a\"}}"})
    EXPECT_THAT(list_fault(text), HasSubstr(cut)) << text;
  EXPECT_THAT(list_fault("[{\"text\": \"a\"},]"),
              HasSubstr(":1: found no item between two commas"));
  EXPECT_THAT(list_fault("[,{\"text\": \"a\"}]"), HasSubstr(":1: found no item"));
  EXPECT_THAT(list_fault("[{\"text\": \"a\"}]\n[]"), HasSubstr(":2: found more behind the end"));
  EXPECT_THAT(list_fault("[{\"text\": \"a\"},\n3]"),
              testing::StartsWith(":2: found the number 3, expected a JSON object as an item"));
  EXPECT_THAT(list_fault("[{\"text\": \"a\"} {}]"), testing::StartsWith(":1: found broken JSON"));
  EXPECT_THAT(list_fault("[\n{\"text\": \"" + std::string(kMostLineBytes, 'a') + "\"}]"),
              testing::StartsWith(":2: the item of the list is longer than"));
}

// The packers of the system: their files are what people have.
class Packed : public CorpusFiles,
               public testing::WithParamInterface<std::pair<const char*, const char*>> {
 protected:
  bool pack(const std::string& name) {
    return std::system((std::string(GetParam().first) + " -q -c " + (folder_ / name) + " > " +
                        (folder_ / name) + GetParam().second + " 2> /dev/null")
                           .c_str()) == 0;
  }
};

TEST_P(Packed, FilesReadAsThePlainOnes) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "{\"text\": \"number " + std::to_string(i * i) + "\"}\n";
  write_text(folder_ / "a.jsonl", text);
  if (!pack("a.jsonl")) GTEST_SKIP() << "NOT RUN: no " << GetParam().first;
  const std::string packed = std::string("a.jsonl") + GetParam().second;
  const Texts plain = read("a.jsonl");
  EXPECT_EQ(plain.size(), 20000U);
  EXPECT_EQ(read(packed), plain);
  EXPECT_EQ(expand_paths(folder_.path()).size(), 2U);

  const std::string bytes = read_file(folder_ / packed);
  write_text(folder_ / "twice.jsonl", bytes + bytes);
  EXPECT_EQ(read("twice.jsonl").size(), 40000U)
      << "members one after another; the name says nothing";
  for (const size_t kept : {bytes.size() - 1, bytes.size() / 2, size_t{11}}) {
    write_text(folder_ / packed, bytes.substr(0, kept));
    EXPECT_THAT(message_of([&] { read(packed); }), HasSubstr("cut off; the file is not whole"))
        << kept;
  }
  std::string damaged = bytes;
  for (size_t i = 40; i < 80; ++i) damaged[i] = static_cast<char>(damaged[i] ^ 0x5a);
  write_text(folder_ / packed, damaged);
  EXPECT_THROW(read(packed), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Formats, Packed,
                         testing::Values(std::pair{"gzip", ".gz"}, std::pair{"zstd", ".zst"}));

TEST_F(CorpusFiles, ATextFileIsOneDocument) {
  write_text(folder_ / "a.txt", "\xef\xbb\xbfone\n\ntwo\r\n");
  EXPECT_EQ(read("a.txt"), (Texts{{1, "one\n\ntwo\r\n"}}));
  EXPECT_THAT(CorpusFile(folder_ / "a.txt").reason(), HasSubstr("the whole file one document"));
  write_text(folder_ / "a.txt", "");
  EXPECT_EQ(read("a.txt"), Texts{});
  write_text(folder_ / "a.txt", "a\xff");
  EXPECT_THAT(message_of([&] { read("a.txt"); }), HasSubstr("not UTF-8"));
  write_text(folder_ / "a.txt", "{\"text\": \"a\"}\n");
  EXPECT_THAT(message_of([&] { read("a.txt"); }), HasSubstr("looks like JSON lines"));
  EXPECT_EQ(read("a.txt", Shape::kText), (Texts{{1, "{\"text\": \"a\"}\n"}}));
}

TEST_F(CorpusFiles, AFolderGivesTheFirstKindThatItHas) {
  for (const char* name : {"a.txt", "b.txt.gz", "c.json", "d.json.zst", "e.jsonl.gz"})
    write_text(folder_ / name, "");
  EXPECT_EQ(expand_paths(folder_.path()), (std::vector<std::string>{folder_ / "e.jsonl.gz"}));
  std::filesystem::remove(folder_ / "e.jsonl.gz");
  EXPECT_EQ(expand_paths(folder_.path()),
            (std::vector<std::string>{folder_ / "c.json", folder_ / "d.json.zst"}));
}

}  // namespace
}  // namespace lathe

// Parquet files hold the same records as JSON lines of the same content.
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>

#include <nlohmann/json.hpp>

#include "data/corpus/bad_record.h"
#include "data/corpus/corpus.h"
#include "data/corpus/lines.h"
#include "data/corpus/parquet.h"
#include "data/curate/curate.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

// JSON -> an arrow array of a type that says how: the opposite of what is tested.
void append(arrow::ArrayBuilder& builder, const json& value) {
  if (value.is_null()) return check(builder.AppendNull());
  switch (builder.type()->id()) {
    case arrow::Type::STRING:
      return check(dynamic_cast<arrow::StringBuilder&>(builder).Append(value.get<std::string>()));
    case arrow::Type::LARGE_STRING:
      return check(
          dynamic_cast<arrow::LargeStringBuilder&>(builder).Append(value.get<std::string>()));
    case arrow::Type::INT64:
      return check(dynamic_cast<arrow::Int64Builder&>(builder).Append(value.get<int64_t>()));
    case arrow::Type::INT32:
      return check(dynamic_cast<arrow::Int32Builder&>(builder).Append(value.get<int32_t>()));
    case arrow::Type::DOUBLE:
      return check(dynamic_cast<arrow::DoubleBuilder&>(builder).Append(value.get<double>()));
    case arrow::Type::BOOL:
      return check(dynamic_cast<arrow::BooleanBuilder&>(builder).Append(value.get<bool>()));
    case arrow::Type::LIST: {
      auto& list = dynamic_cast<arrow::ListBuilder&>(builder);
      check(list.Append());
      for (const json& item : value) append(*list.value_builder(), item);
      return;
    }
    case arrow::Type::STRUCT: {
      auto& object = dynamic_cast<arrow::StructBuilder&>(builder);
      check(object.Append());
      for (int k = 0; k < object.num_fields(); ++k)
        append(*object.field_builder(k), value.value(builder.type()->field(k)->name(), json()));
      return;
    }
    default:
      throw std::runtime_error("a type that the test does not write");
  }
}

std::shared_ptr<arrow::DataType> message_type() {
  return arrow::list(arrow::struct_(
      {arrow::field("role", arrow::utf8()), arrow::field("content", arrow::utf8())}));
}

class Parquet : public testing::Test {
 protected:
  void write_table(const arrow::Table& table, int64_t rows_of_group) {
    const auto out = arrow::io::FileOutputStream::Open(path_).ValueOrDie();
    parquet::WriterProperties::Builder properties;
    properties.enable_page_checksum()->data_pagesize(4096);
    check(parquet::arrow::WriteTable(table, arrow::default_memory_pool(), out, rows_of_group,
                                     properties.build()));
    check(out->Close());
  }

  // Writes the same records to a.jsonl and a.parquet.
  void write(const std::vector<json>& records,
             const std::vector<std::shared_ptr<arrow::Field>>& fields,
             int64_t rows_of_group = 1000) {
    std::string lines;
    for (const json& record : records) lines += record.dump() + "\n";
    write_text(lines_, lines);
    std::vector<std::shared_ptr<arrow::Array>> columns;
    for (const auto& field : fields) {
      std::unique_ptr<arrow::ArrayBuilder> builder;
      check(arrow::MakeBuilder(arrow::default_memory_pool(), field->type(), &builder));
      for (const json& record : records) append(*builder, record.value(field->name(), json()));
      columns.push_back(builder->Finish().ValueOrDie());
    }
    write_table(*arrow::Table::Make(arrow::schema(fields), columns), rows_of_group);
  }

  std::vector<json> rows(FilePosition start = {}) {
    CorpusFile file(path_, Shape::kText, start);
    std::vector<json> found;
    while (const auto text = file.next_text()) {
      found.push_back(json::parse(text->text));
      EXPECT_EQ(text->end.offset, text->line);
    }
    EXPECT_EQ(file.bytes_read(), file.bytes_total());
    return found;
  }

  std::vector<RecordContent> contents(const std::string& path) {
    CorpusFile file(path);
    std::vector<RecordContent> found;
    while (auto record = file.next()) {
      EXPECT_EQ(record->line, static_cast<int64_t>(found.size()) + 1);
      found.push_back(std::move(record->content));
    }
    EXPECT_NE(file.shape(), Shape::kAuto);
    return found;
  }

  TestFolder folder_;
  std::string path_ = folder_ / "a.parquet", lines_ = folder_ / "a.jsonl";
};

TEST_F(Parquet, TextsAreThoseOfTheJsonLines) {
  std::vector<json> records;
  for (int i = 0; i < 500; ++i)
    records.push_back(
        {{"text", "Text " + std::to_string(i) + " \"\xc3\xa9\"\n\t" + std::string(i % 97, 'a')},
         {"id", i}});
  write(records, {arrow::field("text", arrow::large_utf8()), arrow::field("id", arrow::int64())},
        77);
  const auto ours = contents(path_), theirs = contents(lines_);
  ASSERT_EQ(ours.size(), 500u);
  ASSERT_EQ(theirs.size(), 500u);
  for (size_t i = 0; i < ours.size(); ++i)
    EXPECT_EQ(std::get<TextRecord>(ours[i]).text, std::get<TextRecord>(theirs[i]).text);
  EXPECT_EQ(rows(), records);
}

TEST_F(Parquet, ConversationsAreThoseOfTheJsonLines) {
  const auto message = [](const char* role, const char* content) {
    return json{{"role", role}, {"content", content}};
  };
  write({{{"messages", {message("user", "Hi"), message("assistant", "Hello.\n")}},
          {"system", nullptr}},
         {{"messages", {message("user", "2 + 2?"), message("assistant", "4")}},
          {"system", "Be brief."}}},
        {arrow::field("messages", message_type()), arrow::field("system", arrow::utf8())});
  const auto ours = contents(path_), theirs = contents(lines_);
  ASSERT_EQ(ours.size(), 2u);
  ASSERT_EQ(theirs.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const auto& a = std::get<ChatRecord>(ours[i]).conversation.messages;
    const auto& b = std::get<ChatRecord>(theirs[i]).conversation.messages;
    ASSERT_EQ(a.size(), 2 + i);
    ASSERT_EQ(b.size(), a.size());
    for (size_t k = 0; k < a.size(); ++k) {
      EXPECT_EQ(a[k].role, b[k].role);
      EXPECT_EQ(a[k].content, b[k].content);
    }
  }
  EXPECT_EQ(std::get<ChatRecord>(ours[1]).conversation.messages[0].content, "Be brief.");
}

TEST_F(Parquet, TokenIdsAreThoseOfTheJsonLines) {
  write({{{"input_ids", {1, 2, 70000}}, {"labels", {-100, 2, 70000}}},
         {{"input_ids", {5}}, {"labels", {5}}}},
        {arrow::field("input_ids", arrow::list(arrow::int32())),
         arrow::field("labels", arrow::list(arrow::int64()))});
  const auto ours = contents(path_), theirs = contents(lines_);
  ASSERT_EQ(ours.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(std::get<TokenRecord>(ours[i]).input_ids, std::get<TokenRecord>(theirs[i]).input_ids);
    EXPECT_EQ(std::get<TokenRecord>(ours[i]).labels, std::get<TokenRecord>(theirs[i]).labels);
  }
  EXPECT_EQ(std::get<TokenRecord>(ours[0]).labels, (std::vector<int32_t>{-100, 2, 70000}));
}

TEST_F(Parquet, NumbersNullsAndStructsKeepTheirValues) {
  const std::vector<json> records = {
      {{"text", "a"}, {"x", 0.1}, {"yes", true}, {"in", {{"n", 1}, {"s", nullptr}}}},
      {{"text", "b"}, {"x", -2e300}, {"yes", nullptr}, {"in", nullptr}}};
  write(records, {arrow::field("text", arrow::utf8()), arrow::field("x", arrow::float64()),
                  arrow::field("yes", arrow::boolean()),
                  arrow::field("in", arrow::struct_({arrow::field("n", arrow::int64()),
                                                     arrow::field("s", arrow::utf8())}))});
  EXPECT_EQ(rows(), records);
}

TEST_F(Parquet, ReadingGoesOnBehindAnyRow) {
  std::vector<json> records;
  for (int i = 0; i < 300; ++i) records.push_back({{"text", std::to_string(i)}});
  write(records, {arrow::field("text", arrow::utf8())}, 100);
  for (const int behind : {1, 63, 64, 65, 99, 100, 101, 299, 300}) {
    const auto rest = rows({behind, behind});
    ASSERT_EQ(rest.size(), static_cast<size_t>(300 - behind)) << behind;
    EXPECT_EQ(rest.empty() ? "" : rest[0]["text"], behind == 300 ? "" : std::to_string(behind));
  }
  EXPECT_THAT(message_of([&] { rows({301, 301}); }), HasSubstr("not the one that was read before"));
}

TEST_F(Parquet, RowsThatCanNotBeReadDoNotHideTheNext) {
  arrow::StringBuilder texts;
  check(texts.AppendValues({"good", "\xff", std::string(kMostLineBytes, 'a'), "too"}));
  write_table(*arrow::Table::Make(arrow::schema({arrow::field("text", arrow::utf8())}),
                                  {texts.Finish().ValueOrDie()}),
              10);
  CorpusFile file(path_);
  EXPECT_EQ(std::get<TextRecord>(file.next()->content).text, "good");
  EXPECT_EQ(message_of([&] { file.next(); }), path_ + ":2: text: the text is not UTF-8");
  EXPECT_EQ(message_of([&] { file.next(); }), path_ + ":3: the row is longer than 16777216 bytes");
  EXPECT_EQ(std::get<TextRecord>(file.next()->content).text, "too");
  EXPECT_FALSE(file.next().has_value());
}

// Every byte of a small file changed, and every length: read, or refused with a message.
TEST_F(Parquet, DamagedFilesAreRefusedByName) {
  std::vector<json> records;
  for (int i = 0; i < 20; ++i)
    records.push_back({{"text", "some text " + std::to_string(i)}, {"ids", {i, 2 * i}}});
  write(records,
        {arrow::field("text", arrow::utf8()), arrow::field("ids", arrow::list(arrow::int32()))}, 8);
  const std::string whole = read_file(path_);
  const auto expect_refused_or_read = [&](const std::string& bytes, bool may_be_read) {
    write_text(path_, bytes);
    bool read = false;
    const std::string message = message_of([&] {
      rows();
      read = true;
    });
    if (read && may_be_read) return;
    EXPECT_FALSE(read) << bytes.size();
    EXPECT_THAT(message, StartsWith(path_ + ": is damaged"));
  };
  int tried = 0;
  for (size_t size = 0; size < whole.size(); size += 13, ++tried)
    expect_refused_or_read(whole.substr(0, size), false);
  for (size_t at = 0; at < whole.size(); at += 3, ++tried) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    expect_refused_or_read(bytes, true);
  }
  EXPECT_GT(tried, 500);
}

TEST_F(Parquet, CuratingItKeepsWhatTheJsonLinesKeep) {
  std::vector<json> records;
  for (int i = 0; i < 200; ++i)
    records.push_back(
        {{"text", "This text says " + std::string(static_cast<size_t>(i % 150) + 1, 'x') + "."},
         {"id", i}});
  write(records, {arrow::field("text", arrow::utf8()), arrow::field("id", arrow::int64())}, 60);
  const auto kept_of = [&](const std::string& path, const std::string& out) {
    CurateOptions options;
    options.near = false;
    options.block_bytes = 1500;  // a block ends within a batch
    options.sources.push_back({.name = "s",
                               .files = {path},
                               .reading = {},
                               .licence = {},
                               .generator = {},
                               .parents = {},
                               .filters = {}});
    EXPECT_EQ(curate(options, folder_ / out).kept, 150);
    std::vector<json> kept;
    for (const std::string& part : expand_paths(folder_ / out + "/kept/s")) {
      CorpusFile file(part, Shape::kText);
      while (const auto text = file.next_text()) {
        json record = json::parse(text->text);
        record.erase("curated");
        kept.push_back(std::move(record));
      }
    }
    return kept;
  };
  const auto ours = kept_of(path_, "p");
  EXPECT_EQ(ours.size(), 150u);
  EXPECT_EQ(ours, kept_of(lines_, "j"));
}

TEST_F(Parquet, AFolderOfThemIsFound) {
  write({{{"text", "a"}}}, {arrow::field("text", arrow::utf8())});
  std::filesystem::remove(lines_);
  EXPECT_EQ(expand_paths(folder_.path()), std::vector<std::string>{path_});
}

}  // namespace
}  // namespace lathe

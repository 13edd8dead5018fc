#include "data/corpus/record_text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <stdexcept>

namespace lathe {
namespace {

struct Unread {
  std::string_view magic, name;
};
constexpr std::array kUnread{Unread{"ARROW1", "an Arrow file"}, Unread{"PK\x03\x04", "a zip file"}};

}  // namespace

bool is_document_name(std::string_view path) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  return path.ends_with(".txt");
}

RecordTexts::RecordTexts(InputFile& file, bool document)
    : file_(file),
      kind_(document                                              ? Kind::kDocument
            : ParquetReader::is_parquet(file.path(), file.head()) ? Kind::kParquet
            : csv_separator(file.path())                          ? Kind::kRows
            : WarcReader::is_warc(file.head())                    ? Kind::kWarc
            : ItemReader::is_list(file.head())                    ? Kind::kList
                                                                  : Kind::kLines),
      lines_(file),
      items_(file),
      rows_(file, csv_separator(file.path()).value_or(',')),
      warc_(file) {
  for (const Unread& format : kUnread) {
    if (!file.head().starts_with(format.magic)) continue;
    throw std::invalid_argument(
        fmt::format("{}: is {}, which is not read; write it as JSON lines, for example in Python: "
                    "datasets.load_dataset(...).to_json(\"data.jsonl\")",
                    file.path(), format.name));
  }
  if (kind_ == Kind::kParquet) parquet_ = std::make_unique<ParquetReader>(file.path());
}

std::optional<std::string_view> RecordTexts::next() {
  if (kind_ == Kind::kDocument) return document();
  if (kind_ == Kind::kList) return items_.next();
  if (kind_ == Kind::kRows) return rows_.next();
  if (kind_ == Kind::kWarc) return warc_.next();
  if (kind_ == Kind::kParquet) return parquet_->next();
  while (const auto line = lines_.next()) {
    if (line->find_first_not_of(" \t\r") != line->npos) return line;
  }
  return std::nullopt;
}

std::optional<std::string_view> RecordTexts::document() {
  if (std::exchange(document_given_, true)) return std::nullopt;
  for (size_t got = 1; got > 0;) {
    const size_t size = document_.size();
    document_.resize(size + (1 << 20));
    got = file_.read(document_.data() + size, 1 << 20);
    document_.resize(size + got);
    if (document_.size() > kMostDocumentBytes) {
      throw std::invalid_argument(fmt::format(
          "{}: a .txt file is one document, and this one is longer than {} bytes; cut it, or write "
          "its parts as lines {{\"text\": \"...\"}} of a .jsonl file",
          file_.path(), kMostDocumentBytes));
    }
  }
  if (!simdjson::validate_utf8(document_.data(), document_.size()))
    throw std::invalid_argument(file_.path() + ": the text is not UTF-8");
  std::string_view text = document_;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (text.empty()) return std::nullopt;
  return text;
}

int64_t RecordTexts::line() const {
  if (kind_ == Kind::kDocument) return 1;
  if (kind_ == Kind::kRows) return rows_.line();
  if (kind_ == Kind::kWarc) return warc_.line();
  if (kind_ == Kind::kParquet) return parquet_->row();
  return kind_ == Kind::kList ? items_.line() : lines_.line();
}

FilePosition RecordTexts::position() const {
  if (kind_ == Kind::kDocument) return {static_cast<int64_t>(document_.size()), 1};
  if (kind_ == Kind::kRows) return {rows_.offset(), rows_.next_line()};
  if (kind_ == Kind::kWarc) return {warc_.offset(), warc_.next_line()};
  if (kind_ == Kind::kParquet) return {parquet_->row(), parquet_->row()};
  if (kind_ == Kind::kList) return {items_.offset(), items_.next_line()};
  return {lines_.offset(), lines_.line()};
}

void RecordTexts::seek(FilePosition position) {
  if (kind_ == Kind::kDocument) document_given_ = true;
  if (kind_ == Kind::kRows) rows_.seek(position.offset, position.line);
  if (kind_ == Kind::kWarc) warc_.seek(position.offset, position.line);
  if (kind_ == Kind::kParquet) parquet_->seek(position.offset);
  if (kind_ == Kind::kList) items_.seek(position.offset, position.line);
  if (kind_ == Kind::kLines) lines_.seek(position.offset, position.line);
}

int64_t RecordTexts::bytes_read() const {
  return kind_ == Kind::kParquet ? parquet_->bytes_read() : file_.bytes_read();
}

const char* RecordTexts::expected() const {
  if (kind_ == Kind::kRows) return "one row per line";
  if (kind_ == Kind::kWarc) return "one text per WARC record";
  if (kind_ == Kind::kParquet) return "one row of the Parquet file";
  return kind_ == Kind::kList ? "a JSON object as an item of the list" : "one JSON object per line";
}

}  // namespace lathe

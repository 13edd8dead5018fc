#include "data/corpus/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <stdexcept>

#include "data/corpus/bad_record.h"
#include "data/corpus/json_fields.h"
#include "data/corpus/lines.h"

namespace lathe {
namespace {

constexpr size_t kReadBytes = 1 << 16;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

std::optional<char> csv_separator(std::string_view path) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  if (path.ends_with(".csv")) return ',';
  if (path.ends_with(".tsv")) return '\t';
  return std::nullopt;
}

void CsvReader::fail(int64_t line, const std::string& what) const {
  throw std::invalid_argument(fmt::format("{}:{}: {}", file_.path(), line, what));
}

void CsvReader::refuse_row(const std::string& what) const {
  throw BadRecord(row_line_, fmt::format("{}:{}: {}", file_.path(), row_line_, what));
}

std::optional<char> CsvReader::peek() {
  if (begin_ == end_) {
    buffer_.resize(kReadBytes);
    begin_ = 0;
    end_ = file_.read(buffer_.data(), buffer_.size());
    if (end_ == 0) return std::nullopt;
  }
  return buffer_[begin_];
}

void CsvReader::take() {
  line_ += buffer_[begin_++] == '\n';
  ++offset_;
  ++row_bytes_;
}

void CsvReader::check_size() {
  if (row_bytes_ <= kMostLineBytes) return;
  fail(row_line_,
       fmt::format("the row is longer than {} bytes; is a quote never closed?", kMostLineBytes));
}

// Behind the opening quote, up to behind the closing one.
void CsvReader::read_quoted(std::string& cell) {
  const int64_t opened = line_;
  while (const auto letter = peek()) {
    take();
    if (*letter == '"') {
      if (peek() != '"') return;
      take();
    }
    cell += *letter;
    check_size();
  }
  fail(opened, "the quote that opens here is never closed; the file ends within it");
}

// Up to the separator or line end, which stays.
void CsvReader::read_cell() {
  std::string& cell = cells_.emplace_back();
  if (peek() == '"') {
    take();
    read_quoted(cell);
    if (peek() == '\r') take();
    const auto next = peek();
    if (!next || *next == separator_ || *next == '\n') return;
    fail(line_, fmt::format("found `{}` behind a closing quote, expected a separator or the line's "
                            "end; a quote within a cell is written twice",
                            *next));
  }
  while (const auto letter = peek()) {
    if (*letter == separator_ || *letter == '\n') break;
    cell += *letter;
    take();
    check_size();
  }
  if (cell.ends_with('\r') && peek() != separator_) cell.pop_back();
}

bool CsvReader::read_row() {
  do {
    if (!peek()) return false;
    cells_.clear();
    row_bytes_ = 0;
    row_line_ = line_;
    read_cell();
    while (peek() == separator_) {
      take();
      read_cell();
    }
    if (peek()) take();
  } while (cells_.size() == 1 && cells_[0].empty());
  return true;
}

void CsvReader::read_header() {
  const bool marked = file_.head().starts_with(kByteOrderMark);
  for (size_t i = 0; marked && i < kByteOrderMark.size() && peek(); ++i) take();
  if (!read_row()) return;
  for (const std::string& cell : cells_) {
    if (cell.empty())
      fail(row_line_, "a column of the header has no name; the first row must name every column");
    if (!simdjson::validate_utf8(cell.data(), cell.size()))
      fail(row_line_, "the text is not UTF-8");
    std::string name = json_fields::json_string(cell);
    if (std::find(columns_.begin(), columns_.end(), name) != columns_.end())
      fail(row_line_, fmt::format("the header names the column {} twice", name));
    columns_.push_back(std::move(name));
  }
}

void CsvReader::seek(int64_t offset, int64_t line) {
  read_header();
  if (offset < offset_) fail(line, "the file is not the one that was read before");
  // What is in the buffer comes first.
  const auto ahead = static_cast<size_t>(offset - offset_);
  const size_t here = std::min(ahead, end_ - begin_);
  begin_ += here;
  file_.skip(static_cast<int64_t>(ahead - here));
  offset_ = offset;
  line_ = line;
}

std::optional<std::string_view> CsvReader::next() {
  if (columns_.empty()) read_header();
  if (!read_row()) return std::nullopt;
  if (cells_.size() != columns_.size()) {
    refuse_row(fmt::format("found {} cells, expected {}, one per column of the header ({})",
                           cells_.size(), columns_.size(), fmt::join(columns_, ", ")));
  }
  json_.clear();
  for (size_t i = 0; i < cells_.size(); ++i) {
    if (!simdjson::validate_utf8(cells_[i].data(), cells_[i].size()))
      refuse_row(fmt::format("{}: the text is not UTF-8", columns_[i]));
    json_ += i == 0 ? "{" : ", ";
    json_ += columns_[i] + ": ";
    json_ += json_fields::json_string(cells_[i]);
  }
  json_ += '}';
  return json_;
}

}  // namespace lathe

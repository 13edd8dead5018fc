#include "data/corpus/warc.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "data/corpus/bad_record.h"
#include "data/corpus/json_fields.h"
#include "data/corpus/lines.h"

namespace lathe {
namespace {

constexpr size_t kReadBytes = 1 << 16;
constexpr int64_t kMostHeaderBytes = 1 << 16;

std::string small(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// For a message: the first bytes, those that are no letters as ?.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 40));
  for (char& c : out) c = c < ' ' || c > '~' ? '?' : c;
  return out;
}

std::string at(const std::map<std::string, std::string>& header, const char* name) {
  const auto found = header.find(name);
  return found == header.end() ? "" : found->second;
}

// text/plain; charset=utf-8
bool is_plain(const std::map<std::string, std::string>& header) {
  const std::string type = small(at(header, "content-type"));
  return trimmed(std::string_view(type).substr(0, type.find(';'))) == "text/plain";
}

// Adds "Name: value"; false where the line is none.
bool add_field(std::map<std::string, std::string>& header, std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == line.npos || colon == 0) return false;
  header.emplace(small(trimmed(line.substr(0, colon))),
                 std::string(trimmed(line.substr(colon + 1))));
  return true;
}

}  // namespace

void WarcReader::fail(const std::string& what) const {
  throw std::invalid_argument(fmt::format("{}:{}: {}", file_.path(), record_line_, what));
}

void WarcReader::seek(int64_t offset, int64_t line) {
  file_.skip(offset);
  offset_ = offset;
  line_ = line;
}

bool WarcReader::fill() {
  if (begin_ < end_) return true;
  buffer_.resize(kReadBytes);
  begin_ = 0;
  end_ = file_.read(buffer_.data(), buffer_.size());
  return end_ > 0;
}

void WarcReader::take(int64_t count, std::string* text) {
  while (count > 0) {
    if (!fill()) fail("the file ends within this record, before its Content-Length is reached");
    const auto some = std::min<int64_t>(count, static_cast<int64_t>(end_ - begin_));
    const char* from = buffer_.data() + begin_;
    if (text) text->append(from, static_cast<size_t>(some));
    line_ += std::count(from, from + some, '\n');
    begin_ += static_cast<size_t>(some);
    offset_ += some;
    count -= some;
  }
}

std::optional<std::string> WarcReader::read_line(int64_t most) {
  std::string line;
  bool any = false;
  while (fill() && static_cast<int64_t>(line.size()) < most) {
    any = true;
    const char* from = buffer_.data() + begin_;
    const size_t room = std::min(end_ - begin_, static_cast<size_t>(most) - line.size());
    const auto* newline = static_cast<const char*>(std::memchr(from, '\n', room));
    take(newline ? newline - from + 1 : static_cast<int64_t>(room), &line);
    if (newline) break;
  }
  if (!any) return std::nullopt;
  return line;
}

bool WarcReader::find_record() {
  for (;;) {
    record_line_ = line_;
    const auto line = read_line(kMostHeaderBytes);
    if (!line) return false;
    if (*line == "\r\n" || *line == "\n" || *line == "\r") continue;
    if (WarcReader::is_warc(*line)) return true;
    fail(
        fmt::format("found `{}`, expected the first line of a WARC record, WARC/1.0; is the "
                    "Content-Length of the one before wrong?",
                    shown(*line)));
  }
}

WarcReader::Header WarcReader::read_header() {
  Header header;
  const int64_t begin = offset_;
  for (;;) {
    const auto line = read_line(kMostHeaderBytes);
    if (!line) fail("the file ends within this record's header");
    if (offset_ - begin > kMostHeaderBytes)
      fail(fmt::format("the record's header is longer than {} bytes", kMostHeaderBytes));
    const std::string_view text =
        std::string_view(*line).substr(0, line->find_last_not_of("\r\n") + 1);
    if (text.empty()) return header;
    const bool goes_on = text[0] == ' ' || text[0] == '\t';  // of the line before, which has no use
    if (!goes_on && !add_field(header, text))
      fail(fmt::format("the record's header has the line `{}`, expected Name: value", shown(text)));
  }
}

bool WarcReader::is_plain_response(int64_t& left) {
  Header header;
  const int64_t begin = offset_, most = std::min(left, kMostHeaderBytes);
  std::string status;
  bool whole = false;
  while (!whole && offset_ - begin < most) {
    const auto line = read_line(most - (offset_ - begin));
    if (!line) break;
    const std::string_view text =
        std::string_view(*line).substr(0, line->find_last_not_of("\r\n") + 1);
    whole = text.empty() && line->ends_with('\n');
    if (status.empty())
      status = text;
    else
      add_field(header, text);
  }
  left -= offset_ - begin;
  const size_t blank = status.find(' ');
  const bool is_ok = status.starts_with("HTTP/") && blank != status.npos &&
                     std::string_view(status).substr(blank + 1).starts_with("200");
  const std::string encoding = small(at(header, "content-encoding"));
  const std::string transfer = small(at(header, "transfer-encoding"));
  return whole && is_ok && is_plain(header) && (encoding.empty() || encoding == "identity") &&
         (transfer.empty() || transfer == "identity");
}

std::optional<std::string_view> WarcReader::next() {
  while (find_record()) {
    const Header header = read_header();
    const std::string length = at(header, "content-length");
    int64_t left = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), left);
    if (length.empty() || error != std::errc() || end != length.data() + length.size() || left < 0)
      fail(fmt::format("the record's Content-Length is {}, expected a number of bytes",
                       length.empty() ? "missing" : "`" + shown(length) + "`"));
    const std::string type = small(at(header, "warc-type"));
    const bool plain = (type == "conversion" && is_plain(header)) ||
                       (type == "response" && is_plain_response(left));
    const bool fits = left <= static_cast<int64_t>(kMostLineBytes);
    std::string text;
    take(left, plain && fits ? &text : nullptr);
    if (!plain) continue;
    const auto refuse = [&](const std::string& what) {
      return BadRecord(record_line_, fmt::format("{}:{}: {}", file_.path(), record_line_, what));
    };
    if (!fits)
      throw refuse(fmt::format("the text has {} bytes, expected at most {}", left, kMostLineBytes));
    if (!simdjson::validate_utf8(text)) throw refuse("the text is not UTF-8");
    return make_json(header, text);
  }
  return std::nullopt;
}

std::string_view WarcReader::make_json(const Header& header, const std::string& text) {
  json_fields::ObjectText object;
  object.add("text", json_fields::json_string(text));
  for (const auto& [key, name] :
       {std::pair{"url", "warc-target-uri"}, std::pair{"id", "warc-record-id"},
        std::pair{"date", "warc-date"}}) {
    const std::string value = at(header, name);
    if (!value.empty() && simdjson::validate_utf8(value))
      object.add(key, json_fields::json_string(value));
  }
  json_ = object.finish();
  return json_;
}

}  // namespace lathe

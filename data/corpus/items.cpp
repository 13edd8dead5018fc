#include "data/corpus/items.h"

#include <fmt/format.h>

#include <stdexcept>

#include "data/corpus/lines.h"

namespace lathe {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf", kSpace = " \t\r\n";

bool is_space(char letter) { return kSpace.find(letter) != kSpace.npos; }

}  // namespace

bool ItemReader::is_list(std::string_view head) {
  if (head.starts_with(kByteOrderMark)) head.remove_prefix(kByteOrderMark.size());
  const size_t first = head.find_first_not_of(kSpace);
  return first != head.npos && head[first] == '[';
}

void ItemReader::fail(const std::string& what) const {
  throw std::invalid_argument(fmt::format("{}:{}: {}", file_.path(), line_, what));
}

std::optional<char> ItemReader::peek() {
  if (begin_ == end_) {
    begin_ = 0;
    end_ = file_.read(buffer_.data(), buffer_.size());
    if (end_ == 0) return std::nullopt;
  }
  return buffer_[begin_];
}

void ItemReader::take() {
  line_ += buffer_[begin_++] == '\n';
  ++offset_;
}

void ItemReader::seek(int64_t offset, int64_t line) {
  file_.skip(offset);
  offset_ = offset;
  line_ = line;
  opened_ = true;
}

std::optional<char> ItemReader::peek_after_space() {
  while (const auto letter = peek()) {
    if (!is_space(*letter)) return letter;
    take();
  }
  return std::nullopt;
}

// Up to the comma or bracket behind the item, which stays.
void ItemReader::read_item() {
  item_.clear();
  item_line_ = line_;
  int64_t depth = 0;
  bool quoted = false, escaped = false;
  while (const auto next = peek()) {
    const char letter = *next;
    if (!quoted && depth == 0 && (letter == ',' || letter == ']')) return;
    if (quoted) {
      if (!escaped && letter == '"') quoted = false;
      escaped = !escaped && letter == '\\';
    } else if (letter == '"') {
      quoted = true;
    } else if (letter == '{' || letter == '[') {
      ++depth;
    } else if (letter == '}' || letter == ']') {
      --depth;
    }
    item_ += letter;
    take();
    if (item_.size() > kMostLineBytes) {
      line_ = item_line_;
      fail(fmt::format("the item of the list is longer than {} bytes", kMostLineBytes));
    }
  }
  fail("the file ends within the list; it is cut off");
}

std::optional<std::string_view> ItemReader::next() {
  if (closed_) return std::nullopt;
  if (!opened_) {
    while (peek().value_or('[') != '[') take();
    opened_ = true;
    take();
    if (peek_after_space() == ']') closed_ = true;
  } else if (peek_after_space() == ',') {
    take();
    peek_after_space();
  } else {
    closed_ = true;  // read_item() stops at nothing else than a comma and the list's end
  }
  if (closed_) {
    take();
    if (peek_after_space())
      fail("found more behind the end of the list, expected the end of the file");
    return std::nullopt;
  }
  if (!peek()) fail("the file ends within the list; it is cut off");
  read_item();
  if (item_.empty()) fail("found no item between two commas of the list, or behind its last one");
  return item_;
}

}  // namespace lathe

#include "data/corpus/lines.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

#include "data/corpus/bad_record.h"

namespace lathe {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

bool LineReader::fill() {
  if (over_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kReadBytes) buffer_.resize(end_ + kReadBytes);
  const size_t got = file_.read(buffer_.data() + end_, kReadBytes);
  over_ = got == 0;
  end_ += got;
  return !over_;
}

void LineReader::seek(int64_t offset, int64_t line) {
  file_.skip(offset);
  offset_ = offset;
  line_ = line;
}

void LineReader::pass_rest() {
  refused_ = false;
  while (true) {
    const char* from = buffer_.data() + begin_;
    const auto* newline =
        static_cast<const char*>(end_ > begin_ ? std::memchr(from, '\n', end_ - begin_) : nullptr);
    const size_t passed = newline ? static_cast<size_t>(newline - from) + 1 : end_ - begin_;
    begin_ += passed;
    offset_ += static_cast<int64_t>(passed);
    if (newline || !fill()) return;
  }
}

std::optional<std::string_view> LineReader::next() {
  if (refused_) pass_rest();
  size_t searched = 0;
  const char* newline = nullptr;
  while (true) {
    const char* from = buffer_.data() + begin_ + searched;
    newline = static_cast<const char*>(
        end_ - begin_ > searched ? std::memchr(from, '\n', end_ - begin_ - searched) : nullptr);
    searched = newline ? static_cast<size_t>(newline - buffer_.data()) - begin_ : end_ - begin_;
    if (searched > kMostLineBytes) {
      refused_ = true;
      ++line_;
      throw BadRecord(
          line_,
          fmt::format("{}:{}: the line is longer than {} bytes; expected one JSON object per "
                      "line, each shorter than that",
                      file_.path(), line_, kMostLineBytes));
    }
    if (newline || !fill()) break;
  }
  if (!newline && begin_ == end_) return std::nullopt;
  std::string_view text(buffer_.data() + begin_, searched);
  const size_t used = searched + (newline ? 1 : 0);
  begin_ += used;
  offset_ += static_cast<int64_t>(used);
  if (++line_ == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

}  // namespace lathe

#include "data/corpus/record_text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <stdexcept>

namespace lathe {

bool is_document_name(std::string_view path) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  return path.ends_with(".txt");
}

RecordTexts::RecordTexts(InputFile& file, bool document)
    : file_(file),
      kind_(document                           ? Kind::kDocument
            : ItemReader::is_list(file.head()) ? Kind::kList
                                               : Kind::kLines),
      lines_(file),
      items_(file) {}

std::optional<std::string_view> RecordTexts::next() {
  if (kind_ == Kind::kDocument) return document();
  if (kind_ == Kind::kList) return items_.next();
  while (const auto line = lines_.next()) {
    if (line->find_first_not_of(" \t\r") != line->npos) return line;
  }
  return std::nullopt;
}

std::optional<std::string_view> RecordTexts::document() {
  if (!document_.empty()) return std::nullopt;
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
  return kind_ == Kind::kList ? items_.line() : lines_.line();
}

const char* RecordTexts::expected() const {
  return kind_ == Kind::kList ? "a JSON object as an item of the list" : "one JSON object per line";
}

}  // namespace lathe

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "data/tokenize/chat.h"

// One record after another from the user's files (JSON lines), each with the place it stands.
namespace lathe {

struct TextRecord {
  std::string text;
};
struct ChatRecord {
  Conversation conversation;
};
struct TokenRecord {
  std::vector<int32_t> input_ids;
  std::vector<int32_t>
      labels;  // unshifted as in Hugging Face, -100 where not trained; empty: all trained
};

struct Record {
  std::variant<TextRecord, ChatRecord, TokenRecord> content;
  int64_t line = 0;  // 1-based
};

// Shape: which keys a file's records have. kAuto looks at the first record and says what it took
// and why in `reason`.
enum class Shape { kAuto, kText, kMessages, kTokens };

// A file read in order, in bounded memory; blank lines, CRLF and a byte order mark are no faults.
// Keys that a shape does not know are ignored. The constructor reads the first record. Every fault
// (broken JSON, wrong type, missing key, broken UTF-8, a line over 16 MiB) is std::invalid_argument
// "file:line: field: found ..., expected ...; nearest shape ...".
class CorpusFile {
 public:
  explicit CorpusFile(std::string path, Shape shape = Shape::kAuto);
  ~CorpusFile();
  std::optional<Record> next();
  Shape shape() const;
  const std::string& reason() const;
  int64_t bytes_read() const;
  int64_t bytes_total() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A file, a folder (its *.jsonl), or a glob -> files in sorted order. std::invalid_argument when
// nothing is there.
std::vector<std::string> expand_paths(const std::string& pattern);

}  // namespace lathe

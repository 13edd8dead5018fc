#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/tokenize/chat.h"

// One record after another from the user's files, each with the place it stands.
namespace lathe {

struct TextRecord {
  std::string text;
};
struct ChatRecord {
  Conversation conversation;
  // Messages at the front that only ask: the rest is trained. 0: what the assistant says is.
  size_t prompt_messages = 0;
};
struct PairRecord {  // plain text, no template; the completion is trained
  std::string prompt, completion;
};
struct TokenRecord {
  std::vector<int32_t> input_ids;
  std::vector<int32_t>
      labels;  // unshifted as in Hugging Face, -100 where not trained; empty: all trained
};

using RecordContent = std::variant<TextRecord, ChatRecord, PairRecord, TokenRecord>;

struct Record {
  RecordContent content;
  int64_t line = 0;  // 1-based, where it begins
};

// Shape: which keys a file's records have. kAuto looks at the first record and says what it took
// and why in `reason`; a record that two shapes fit is an error that asks for one of them.
enum class Shape {
  kAuto,
  kText,
  kMessages,
  kTokens,
  kPromptCompletion,
  kQueryResponse,
  kAlpaca,
  kShareGpt
};

// As the config writes it: text, prompt_completion, ... Throws std::invalid_argument for another
// name.
Shape shape_named(std::string_view name);

// A file read in order, in bounded memory: JSON lines, one JSON list, or a .txt that is one
// document; plain, gzip or zstd. Blank lines, CRLF and a byte order mark are no faults. Keys that a
// shape does not know are ignored. The constructor reads the first record. Every fault (broken
// JSON, wrong type, missing key, broken UTF-8, a record over 16 MiB) is std::invalid_argument
// "file:line: field: found ..., expected ...; nearest shape ...".
class CorpusFile {
 public:
  explicit CorpusFile(std::string path, Shape shape = Shape::kAuto);
  ~CorpusFile();
  std::optional<Record> next();
  Shape shape() const;
  const std::string& reason() const;
  int64_t bytes_read() const;  // of the file as it lies on the disk
  int64_t bytes_total() const;
  int64_t text_bytes() const;  // of the records that next() gave, unpacked

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A file, a folder or a glob -> files in sorted order. Of a folder its *.jsonl, where it has none
// its *.json, where it has none its *.txt, each also as .gz and .zst. std::invalid_argument when
// nothing is there.
std::vector<std::string> expand_paths(const std::string& pattern);

}  // namespace lathe

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/chat/chat.h"

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

struct SegmentsRecord {  // texts laid end to end as they stand, nothing added
  struct Segment {
    std::string text;
    bool trained = false;
  };
  std::vector<Segment> segments;
};

// A prompt with one answer.
using AnswerRecord = std::variant<PairRecord, ChatRecord>;

struct PreferenceRecord {  // of one prompt
  AnswerRecord chosen, rejected;
};
struct UnpairedRecord {
  AnswerRecord answer;
  bool label = false;  // whether it is a good one
};

using RecordContent = std::variant<TextRecord, ChatRecord, PairRecord, TokenRecord, SegmentsRecord,
                                   PreferenceRecord, UnpairedRecord>;

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
  kShareGpt,
  kSegments,
  kPreference,  // a better and a worse answer
  kUnpaired     // an answer and whether it is good
};

// As the config writes it: text, prompt_completion, ... Throws std::invalid_argument for another
// name.
Shape shape_named(std::string_view name);
std::string_view shape_name(Shape shape);

// How records are to be read.
struct Reading {
  Reading(Shape asked = Shape::kAuto) : shape(asked) {}  // NOLINT: a shape is a way of reading

  Shape shape;
  // What the file calls a key of the shape: {"prompt": "question"}.
  std::map<std::string, std::string> columns;
  // What the turns of a conversation are made of, in LLaMA-Factory's words: role_tag, content_tag,
  // user_tag, assistant_tag, observation_tag, function_tag, system_tag. With tags kAuto is
  // kShareGpt.
  std::map<std::string, std::string> tags;
};

// A place between two records.
struct FilePosition {
  int64_t offset = 0;  // bytes of the unpacked file, rows of a Parquet file; 0: its start
  int64_t line = 0;    // as the file's reader counts
};

// A record before anything is known of it.
struct RecordText {
  std::string_view text;
  int64_t line = 0;  // 1-based, where it begins
  FilePosition end;  // behind it
};

class RecordParser;

// A file read in order, in bounded memory: JSON lines, a JSON list, rows of .csv, .tsv or .parquet,
// texts of a WARC file, or a .txt, one document; plain, gzip, zstd. Blank lines, CRLF and a BOM are
// no faults. Keys that a shape does not know are ignored. The constructor reads the first record.
// Every fault (broken JSON, wrong type, missing key, broken UTF-8, a record over 16 MiB) is
// std::invalid_argument "file:line: field: found ..., expected ...; nearest shape ..."; where it is
// BadRecord, the next record can be read.
class CorpusFile {
 public:
  // start: the end of a record of the same file; reading then names the shape.
  explicit CorpusFile(std::string path, const Reading& reading = {}, FilePosition start = {});
  ~CorpusFile();
  std::optional<Record> next();
  // The next record's text, for the parsers of other threads; valid until the next call. shape() is
  // known from the first record on that is JSON.
  std::optional<RecordText> next_text();
  std::unique_ptr<RecordParser> make_parser() const;
  FilePosition position() const;  // behind the record that was read last
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
// its *.json (no dataset_info.json), then *.parquet, *.csv, *.tsv, *.txt, *.warc, *.wet, also as
// .gz, .zst. std::invalid_argument when nothing is there.
std::vector<std::string> expand_paths(const std::string& pattern);

}  // namespace lathe

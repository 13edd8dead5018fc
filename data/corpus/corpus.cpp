#include "data/corpus/corpus.h"

#include <fmt/format.h>

#include <utility>

#include "data/corpus/bad_record.h"
#include "data/corpus/record_parser.h"
#include "data/corpus/record_text.h"
#include "data/corpus/shapes.h"

namespace lathe {
namespace {

// Tags say what the turns of a conversation are made of: that is one shape's affair.
Shape asked_shape(const Reading& reading) {
  return reading.shape == Shape::kAuto && !reading.tags.empty() ? Shape::kShareGpt : reading.shape;
}

std::string reason_for(const std::string& path, const Reading& reading, Shape shape) {
  if (shape == Shape::kAuto) return path + ": holds no record";
  if (reading.shape == Shape::kAuto)
    return fmt::format("{}: tags are given: taken as {}, {}", path, shape_name(shape),
                       shape_entry(shape).sketch);
  return fmt::format("{}: the shape {} was asked for", path, shape_name(shape));
}

bool is_document(const std::string& path, Shape shape) {
  return is_document_name(path) && (shape == Shape::kAuto || shape == Shape::kText);
}

}  // namespace

struct CorpusFile::Parts {
  Parts(std::string name, const Reading& reading)
      : path(std::move(name)),
        shape(asked_shape(reading)),
        reason(reason_for(path, reading, shape)),
        format(reading),
        file(path),
        texts(file, is_document(path, shape)),
        parser(path, texts.expected(), texts.is_document(), format) {}

  std::string path;
  Shape shape;
  std::string reason;
  RecordFormat format;
  InputFile file;
  RecordTexts texts;
  RecordParser parser;
  int64_t text_bytes = 0;
  std::string first_text;  // the constructor's look ahead
  std::optional<RecordText> first;

  std::optional<RecordText> read() {
    const auto text = texts.next();
    if (!text) return std::nullopt;
    text_bytes += static_cast<int64_t>(text->size());
    const RecordText record{*text, texts.line(), texts.position()};
    if (shape == Shape::kAuto) {
      try {
        shape = parser.detect(record.text, record.line, reason);
      } catch (const BadRecord&) {  // it says nothing about the others; whoever parses it is told
      }
    }
    return record;
  }
};

CorpusFile::CorpusFile(std::string path, const Reading& reading, FilePosition start)
    : parts_(std::make_unique<Parts>(std::move(path), reading)) {
  if (start.offset > 0) {
    parts_->texts.seek(start);
    return;
  }
  if (parts_->shape != Shape::kAuto) return;
  parts_->first = parts_->read();
  if (!parts_->first) return;
  parts_->first_text = std::string(parts_->first->text);
  parts_->first->text = parts_->first_text;
}

CorpusFile::~CorpusFile() = default;

std::optional<RecordText> CorpusFile::next_text() {
  if (parts_->first) return std::exchange(parts_->first, std::nullopt);
  return parts_->read();
}

std::optional<Record> CorpusFile::next() {
  const auto text = next_text();
  if (!text) return std::nullopt;
  return parts_->parser.parse(text->text, text->line, parts_->shape);
}

std::unique_ptr<RecordParser> CorpusFile::make_parser() const {
  return std::make_unique<RecordParser>(parts_->path, parts_->texts.expected(),
                                        parts_->texts.is_document(), parts_->format);
}

FilePosition CorpusFile::position() const { return parts_->texts.position(); }
Shape CorpusFile::shape() const { return parts_->shape; }
const std::string& CorpusFile::reason() const { return parts_->reason; }
int64_t CorpusFile::bytes_read() const { return parts_->texts.bytes_read(); }
int64_t CorpusFile::bytes_total() const { return parts_->file.bytes_total(); }
int64_t CorpusFile::text_bytes() const { return parts_->text_bytes; }

}  // namespace lathe

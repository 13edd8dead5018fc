#include "data/corpus/corpus.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <stdexcept>

#include "data/corpus/record_text.h"
#include "data/corpus/shapes.h"

namespace lathe {
namespace {

// No shape needs more than a few levels, tools a few more.
constexpr size_t kMostDepth = 64;

constexpr const char* kObjectAdvice =
    "; a file of objects over several lines becomes JSON lines with: jq -c .";

}  // namespace

struct CorpusFile::Parts {
  Parts(std::string name, Shape asked)
      : path(std::move(name)),
        file(path),
        texts(file, is_document_name(path) && (asked == Shape::kAuto || asked == Shape::kText)),
        parser(kMostLineBytes + 1024),
        shape(asked) {
    if (parser.allocate(0, kMostDepth) != simdjson::SUCCESS) throw std::bad_alloc();
  }

  std::string path;
  InputFile file;
  RecordTexts texts;
  simdjson::dom::parser parser;
  Shape shape;
  std::string reason;
  std::optional<Record> first;
  std::string padded;  // the record with the room behind it that simdjson wants
  int64_t text_bytes = 0;

  std::string place() const { return fmt::format("{}:{}", path, texts.line()); }

  std::optional<Record> read() {
    const auto text = texts.next();
    if (!text) return std::nullopt;
    text_bytes += static_cast<int64_t>(text->size());
    if (texts.is_document()) {
      if (shape == Shape::kAuto) settle_document(*text);
      return Record{TextRecord{std::string(*text)}, 1};
    }
    const json_fields::Object object = parse(*text);
    if (shape == Shape::kAuto) detect(object);
    return read(object);
  }

  json_fields::Object parse(std::string_view text) {
    padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    padded.assign(text);
    simdjson::dom::element value;
    const auto error = parser.parse(padded.data(), padded.size(), false).get(value);
    if (error != simdjson::SUCCESS) {
      const bool cut = text.starts_with('{') && text.find_first_not_of(" \t\r\n", 1) == text.npos;
      throw std::invalid_argument(fmt::format("{}: found broken JSON ({}), expected {}{}", place(),
                                              simdjson::error_message(error), texts.expected(),
                                              cut ? kObjectAdvice : ""));
    }
    json_fields::Object object;
    if (value.get(object) != simdjson::SUCCESS) {
      throw std::invalid_argument(fmt::format("{}: found {}, expected {}", place(),
                                              json_fields::kind_of(value), texts.expected()));
    }
    return object;
  }

  void settle_document(std::string_view text) {
    if (text.starts_with("{\"")) {
      throw std::invalid_argument(
          path +
          ": a .txt file is one document, but this one looks like JSON lines; "
          "rename it to .jsonl, or say shape: text to train on it as it stands");
    }
    shape = Shape::kText;
    reason = path + ": a .txt file: taken as text, the whole file one document";
  }

  void detect(const json_fields::Object& object) {
    try {
      shape = detect_shape(json_fields::keys_of(object), reason);
    } catch (const std::invalid_argument& fault) {
      throw std::invalid_argument(fmt::format("{}: {}", place(), fault.what()));
    }
    reason = fmt::format("{}: {}", place(), reason);
  }

  Record read(const json_fields::Object& object) {
    try {
      return {shape_entry(shape).parse(object), texts.line()};
    } catch (const std::invalid_argument& fault) {
      const Keys keys = json_fields::keys_of(object);
      throw std::invalid_argument(fmt::format("{}: {}; the record has the keys {}; {}", place(),
                                              fault.what(), list_keys(keys), nearest_shape(keys)));
    }
  }
};

CorpusFile::CorpusFile(std::string path, Shape shape)
    : parts_(std::make_unique<Parts>(std::move(path), shape)) {
  parts_->reason = shape == Shape::kAuto ? parts_->path + ": holds no record"
                                         : fmt::format("{}: the shape {} was asked for",
                                                       parts_->path, shape_name(shape));
  parts_->first = parts_->read();
}

CorpusFile::~CorpusFile() = default;

std::optional<Record> CorpusFile::next() {
  if (parts_->first) return std::exchange(parts_->first, std::nullopt);
  return parts_->read();
}

Shape CorpusFile::shape() const { return parts_->shape; }
const std::string& CorpusFile::reason() const { return parts_->reason; }
int64_t CorpusFile::bytes_read() const { return parts_->file.bytes_read(); }
int64_t CorpusFile::bytes_total() const { return parts_->file.bytes_total(); }
int64_t CorpusFile::text_bytes() const { return parts_->text_bytes; }

}  // namespace lathe

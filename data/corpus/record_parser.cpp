#include "data/corpus/record_parser.h"

#include <fmt/format.h>

#include <new>
#include <stdexcept>

#include "data/corpus/bad_record.h"
#include "data/corpus/lines.h"
#include "data/corpus/shapes.h"

namespace lathe {
namespace {

// No shape needs more than a few levels, tools a few more.
constexpr size_t kMostDepth = 64;

constexpr const char* kObjectAdvice =
    "; a file of objects over several lines becomes JSON lines with: jq -c .";

}  // namespace

RecordParser::RecordParser(std::string path, const char* expected, bool document,
                           RecordFormat format)
    : path_(std::move(path)),
      expected_(expected),
      document_(document),
      format_(std::move(format)),
      parser_(2 * kMostLineBytes) {  // a row of CSV grows when it becomes JSON
  if (parser_.allocate(0, kMostDepth) != simdjson::SUCCESS) throw std::bad_alloc();
}

std::string RecordParser::place(int64_t line) const { return fmt::format("{}:{}", path_, line); }

json_fields::Object RecordParser::object_of(std::string_view text, int64_t line) {
  padded_.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  padded_.assign(text);
  simdjson::dom::element value;
  const auto error = parser_.parse(padded_.data(), padded_.size(), false).get(value);
  if (error != simdjson::SUCCESS) {
    const bool cut = text.starts_with('{') && text.find_first_not_of(" \t\r\n", 1) == text.npos;
    throw BadRecord(
        line, fmt::format("{}: found broken JSON ({}), expected {}{}", place(line),
                          simdjson::error_message(error), expected_, cut ? kObjectAdvice : ""));
  }
  json_fields::Object object;
  if (value.get(object) != simdjson::SUCCESS) {
    throw BadRecord(line, fmt::format("{}: found {}, expected {}", place(line),
                                      json_fields::kind_of(value), expected_));
  }
  return object;
}

Record RecordParser::parse(std::string_view text, int64_t line, Shape shape) {
  if (document_) return {TextRecord{std::string(text)}, line};
  const json_fields::Object object = object_of(text, line);
  const RecordView record(object, format_);
  try {
    return {shape_entry(shape).parse(record), line};
  } catch (const std::invalid_argument& fault) {
    throw BadRecord(
        line, fmt::format("{}: {}; the record has the keys {}; {}", place(line), fault.what(),
                          list_keys(json_fields::keys_of(object)), nearest_shape(record.keys())));
  }
}

Shape RecordParser::detect(std::string_view text, int64_t line, std::string& reason) {
  if (document_) {
    if (text.starts_with("{\"")) {
      throw std::invalid_argument(
          path_ +
          ": a .txt file is one document, but this one looks like JSON lines; "
          "rename it to .jsonl, or say shape: text to train on it as it stands");
    }
    reason = path_ + ": a .txt file: taken as text, the whole file one document";
    return Shape::kText;
  }
  const json_fields::Object object = object_of(text, line);
  try {
    const Shape shape = detect_shape(RecordView(object, format_).keys(), reason);
    reason = fmt::format("{}: {}", place(line), reason);
    for (const auto& [key, column] : format_.columns)
      reason += fmt::format("; {} is the file's {}", key, column);
    return shape;
  } catch (const std::invalid_argument& fault) {
    throw std::invalid_argument(fmt::format("{}: {}", place(line), fault.what()));
  }
}

}  // namespace lathe

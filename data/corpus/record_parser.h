#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "data/corpus/corpus.h"
#include "data/corpus/json_fields.h"
#include "data/corpus/record_view.h"

namespace lathe {

// The texts of one file's records -> what they hold. Not thread-safe: every thread has its own.
class RecordParser {
 public:
  // expected: what a record has to be, for messages. document: a record is its text.
  RecordParser(std::string path, const char* expected, bool document, RecordFormat format);

  // Throws BadRecord "file:line: field: found ..., expected ...; nearest shape ...".
  Record parse(std::string_view text, int64_t line, Shape shape);
  // The shape that a record's keys say and why. Throws BadRecord where it is no JSON object, and
  // std::invalid_argument where no shape fits or more than one.
  Shape detect(std::string_view text, int64_t line, std::string& reason);

 private:
  json_fields::Object object_of(std::string_view text, int64_t line);
  std::string place(int64_t line) const;

  std::string path_;
  const char* expected_;
  bool document_;
  RecordFormat format_;
  simdjson::dom::parser parser_;
  std::string padded_;  // the record with the room behind it that simdjson wants
};

}  // namespace lathe

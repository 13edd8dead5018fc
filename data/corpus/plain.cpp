#include <fmt/format.h>

#include <limits>

#include "data/corpus/parsers.h"

// Shapes without a conversation: text, and what is tokens already.
namespace lathe {
namespace {

using namespace json_fields;

std::vector<int32_t> parse_ids(const Element& value, const std::string& field) {
  std::vector<int32_t> ids;
  for (const Element& item : list_of(value, field, "a list of integers")) {
    int64_t id = 0;
    if (item.get(id) != simdjson::SUCCESS || id < std::numeric_limits<int32_t>::min() ||
        id > std::numeric_limits<int32_t>::max()) {
      fault(fmt::format("{}[{}]", field, ids.size()), kind_of(item), "an integer of 32 bits");
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

RecordContent parse_text(const Object& record) {
  return TextRecord{text_of(at(record, "text", "text", "a string"), "text")};
}

RecordContent parse_tokens(const Object& object) {
  TokenRecord record{.input_ids = parse_ids(
                         at(object, "input_ids", "input_ids", "a list of integers"), "input_ids"),
                     .labels = {}};
  if (object["labels"].error() == simdjson::NO_SUCH_FIELD) return record;
  record.labels = parse_ids(at(object, "labels", "labels", "a list of integers"), "labels");
  const size_t count = record.input_ids.size();
  if (record.labels.size() != count) {
    fault("labels", fmt::format("{} labels", record.labels.size()),
          fmt::format("{}, one per input id", count));
  }
  for (size_t i = 0; i < count; ++i) {
    if (record.labels[i] == -100 || record.labels[i] == record.input_ids[i]) continue;
    fault(fmt::format("labels[{}]", i), std::to_string(record.labels[i]),
          fmt::format("-100 or the input id itself, {} (labels are not shifted)",
                      record.input_ids[i]));
  }
  return record;
}

}  // namespace lathe

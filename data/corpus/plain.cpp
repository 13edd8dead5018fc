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

RecordContent parse_text(const RecordView& record) {
  return TextRecord{text_of(record.at("text", "a string"), record.name("text"))};
}

RecordContent parse_tokens(const RecordView& object) {
  const auto ids_at = [&](std::string_view key) {
    return parse_ids(object.at(key, "a list of integers"), object.name(key));
  };
  TokenRecord record{.input_ids = ids_at("input_ids"), .labels = {}};
  if (!object.has("labels")) return record;
  record.labels = ids_at("labels");
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

RecordContent parse_segments(const RecordView& record) {
  const std::string name = record.name("segments");
  SegmentsRecord segments;
  for (const Element& item :
       list_of(record.at("segments", "a list of segments"), name, "a list of segments")) {
    const std::string place = fmt::format("{}[{}]", name, segments.segments.size());
    const Object object = object_of(item, place, R"(an object {"label": true, "text": "..."})");
    const std::string label = place + ".label";
    const Element trained = at(object, "label", label, "true or false");
    SegmentsRecord::Segment segment;
    if (trained.get(segment.trained) != simdjson::SUCCESS)
      fault(label, kind_of(trained), "true (trained) or false");
    segment.text = text_of(at(object, "text", place + ".text", "a string"), place + ".text");
    segments.segments.push_back(std::move(segment));
  }
  return segments;
}

}  // namespace lathe

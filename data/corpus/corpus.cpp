#include "data/corpus/corpus.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "data/corpus/lines.h"
#include "data/corpus/shapes.h"

namespace lathe {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kMostDepth =
    64;  // no shape needs more than 4; unknown keys may hold what they like

// What a value is, for "found ...".
std::string kind_of(const dom::element& value) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return "a list";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "true or false";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return fmt::format("the number {}", simdjson::minify(value));
  }
}

// A fault in one record: field, found, expected. The file and line are put in front where they are
// known.
[[noreturn]] void fault(const std::string& field, const std::string& found,
                        const std::string& expected) {
  throw std::invalid_argument(fmt::format("{}: found {}, expected {}", field, found, expected));
}

// The value of a key, which must be there once.
dom::element field_of(const dom::object& object, std::string_view key, const std::string& field,
                      const std::string& expected) {
  const dom::element* found = nullptr;
  dom::element value;
  for (const auto& [name, candidate] : object) {
    if (name != key) continue;
    if (found) fault(field, "the key twice", "it once");
    value = candidate;
    found = &value;
  }
  if (!found) fault(field, "no such key", expected);
  return value;
}

std::string text_of(const dom::element& value, const std::string& field) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) fault(field, kind_of(value), "a string");
  return std::string(text);
}

// A string, or a list of text parts [{"type": "text", "text": "..."}] laid end to end
// (LLaMA-Factory writes "value" for "text").
std::string content_of(const dom::element& value, const std::string& field) {
  dom::array parts;
  if (value.get(parts) != simdjson::SUCCESS) return text_of(value, field);
  std::string content;
  size_t index = 0;
  for (const dom::element& part : parts) {
    const std::string place = fmt::format("{}[{}]", field, index++);
    dom::object object;
    if (part.get(object) != simdjson::SUCCESS) {
      fault(place, kind_of(part), R"(a part {"type": "text", "text": "..."})");
    }
    const std::string type =
        text_of(field_of(object, "type", place + ".type", "a string"), place + ".type");
    if (type != "text") fault(place + ".type", '`' + type + '`', "text; other parts are not known");
    const bool named_value = object["value"].error() == simdjson::SUCCESS;
    const std::string key = named_value ? "value" : "text", name = place + '.' + key;
    content += text_of(field_of(object, key, name, "a string"), name);
  }
  return content;
}

Message parse_message(const dom::element& value, const std::string& field) {
  dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    fault(field, kind_of(value), R"(an object {"role": "...", "content": "..."})");
  }
  Message message{
      .role = text_of(field_of(object, "role", field + ".role", "a string"), field + ".role"),
      .content = content_of(field_of(object, "content", field + ".content", "a string"),
                            field + ".content")};
  if (message.role.empty())
    fault(field + ".role", "an empty string", "system, user, assistant or tool");
  return message;
}

ChatRecord parse_messages(const dom::object& object) {
  const dom::element value = field_of(object, "messages", "messages", "a list of messages");
  dom::array list;
  if (value.get(list) != simdjson::SUCCESS) fault("messages", kind_of(value), "a list of messages");
  ChatRecord record;
  for (const dom::element& item : list) {
    std::vector<Message>& messages = record.conversation.messages;
    messages.push_back(parse_message(item, fmt::format("messages[{}]", messages.size())));
  }
  if (record.conversation.messages.empty())
    fault("messages", "an empty list", "at least one message");
  return record;
}

std::vector<int32_t> parse_ids(const dom::element& value, const std::string& field) {
  dom::array list;
  if (value.get(list) != simdjson::SUCCESS) fault(field, kind_of(value), "a list of integers");
  std::vector<int32_t> ids;
  for (const dom::element& item : list) {
    int64_t id = 0;
    if (item.get(id) != simdjson::SUCCESS || id < std::numeric_limits<int32_t>::min() ||
        id > std::numeric_limits<int32_t>::max()) {
      fault(fmt::format("{}[{}]", field, ids.size()), kind_of(item), "an integer of 32 bits");
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

TokenRecord parse_tokens(const dom::object& object) {
  TokenRecord record{
      .input_ids =
          parse_ids(field_of(object, "input_ids", "input_ids", "a list of integers"), "input_ids"),
      .labels = {}};
  if (object["labels"].error() == simdjson::NO_SUCH_FIELD) return record;
  record.labels = parse_ids(field_of(object, "labels", "labels", "a list of integers"), "labels");
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

std::vector<std::string> keys_of(const dom::object& object) {
  std::vector<std::string> keys;
  for (const auto& [name, unused] : object) keys.emplace_back(name);
  return keys;
}

}  // namespace

struct CorpusFile::Parts {
  explicit Parts(std::string name)
      : path(std::move(name)), lines(path), parser(kMostLineBytes + 1024) {
    if (parser.allocate(0, kMostDepth) != simdjson::SUCCESS) throw std::bad_alloc();
  }

  std::string path;
  LineReader lines;
  dom::parser parser;
  Shape shape = Shape::kAuto;
  std::string reason;
  std::optional<Record> first;
  std::string padded;  // the line with the room behind it that simdjson wants

  std::string place() const { return fmt::format("{}:{}", path, lines.line()); }

  // The next line that is not blank, as an object.
  std::optional<dom::object> next_object() {
    while (const auto line = lines.next()) {
      if (line->find_first_not_of(" \t\r") == line->npos) continue;
      return parse(*line);
    }
    return std::nullopt;
  }

  dom::object parse(std::string_view line) {
    if (line.starts_with("\x1f\x8b") || line.starts_with("\x28\xb5\x2f\xfd")) {
      throw std::invalid_argument(place() + ": the file is compressed; unpack it first");
    }
    padded.reserve(line.size() + simdjson::SIMDJSON_PADDING);
    padded.assign(line);
    dom::element value;
    const auto error = parser.parse(padded.data(), padded.size(), false).get(value);
    if (error != simdjson::SUCCESS) {
      const bool list = lines.line() == 1 && line.starts_with('[');
      throw std::invalid_argument(
          fmt::format("{}: found broken JSON ({}), expected one JSON object per line{}", place(),
                      simdjson::error_message(error), list ? kListAdvice : ""));
    }
    dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      throw std::invalid_argument(fmt::format("{}: found {}, expected one JSON object per line{}",
                                              place(), kind_of(value),
                                              value.is_array() ? kListAdvice : ""));
    }
    return object;
  }

  static constexpr const char* kListAdvice =
      "; a file that is one list becomes JSON lines with: jq -c '.[]'";

  void detect(const dom::object& object) {
    const std::vector<std::string> keys = keys_of(object);
    shape = shape_of(keys);
    if (shape == Shape::kAuto) {
      throw std::invalid_argument(fmt::format("{}: keys: found {}, expected {}; {}", place(),
                                              list_keys(keys), shape_sketch(shape),
                                              nearest_shape(keys)));
    }
    reason = fmt::format("{}: the first record has the keys {}: taken as {}, {}", place(),
                         list_keys(keys), shape_name(shape), shape_sketch(shape));
  }

  Record read(const dom::object& object) {
    Record record{.content = {}, .line = lines.line()};
    try {
      if (shape == Shape::kText)
        record.content = TextRecord{text_of(field_of(object, "text", "text", "a string"), "text")};
      if (shape == Shape::kMessages) record.content = parse_messages(object);
      if (shape == Shape::kTokens) record.content = parse_tokens(object);
    } catch (const std::invalid_argument& fault) {
      throw std::invalid_argument(fmt::format("{}: {}; the record has the keys {}; {}", place(),
                                              fault.what(), list_keys(keys_of(object)),
                                              nearest_shape(keys_of(object))));
    }
    return record;
  }
};

CorpusFile::CorpusFile(std::string path, Shape shape)
    : parts_(std::make_unique<Parts>(std::move(path))) {
  parts_->shape = shape;
  parts_->reason = fmt::format("{}: the shape {} was asked for", parts_->path, shape_name(shape));
  const auto object = parts_->next_object();
  if (!object) {
    if (shape == Shape::kAuto) parts_->reason = parts_->path + ": holds no record";
    return;
  }
  if (shape == Shape::kAuto) parts_->detect(*object);
  parts_->first = parts_->read(*object);
}

CorpusFile::~CorpusFile() = default;

std::optional<Record> CorpusFile::next() {
  if (parts_->first) return std::exchange(parts_->first, std::nullopt);
  const auto object = parts_->next_object();
  if (!object) return std::nullopt;
  return parts_->read(*object);
}

Shape CorpusFile::shape() const { return parts_->shape; }
const std::string& CorpusFile::reason() const { return parts_->reason; }
int64_t CorpusFile::bytes_read() const { return parts_->lines.bytes_read(); }
int64_t CorpusFile::bytes_total() const { return parts_->lines.bytes_total(); }

}  // namespace lathe

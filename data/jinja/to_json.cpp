#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget)
      : style_(style), budget_(budget), out_(budget) {}
  void write(const Value& value, size_t level);
  std::string take() { return out_.take(); }

 private:
  void write_text(std::string_view text);
  void write_list(const Items& items, size_t level);
  void write_dict(const Dict& dict, size_t level);
  void begin_line(size_t level);

  const JsonStyle& style_;
  Budget& budget_;
  TextBuilder out_;
};

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return float_text(value);
}

std::string escaped_unit(unsigned unit) {
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04x", unit & 0xFFFF);
  return text;
}

std::string escaped(char32_t c) {
  if (c < 0x10000) return escaped_unit(c);
  return escaped_unit(0xD800 + ((c - 0x10000) >> 10)) +
         escaped_unit(0xDC00 + ((c - 0x10000) & 0x3FF));
}

std::string_view short_escape(char32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      return {};
  }
}

// As json.dumps writes the keys that are not strings.
std::string key_text(const Value& key, Budget& budget) {
  switch (key.kind()) {
    case Value::Kind::Text:
      return key.text();
    case Value::Kind::Bool:
      return key.integer() != 0 ? "true" : "false";
    case Value::Kind::None:
      return "null";
    case Value::Kind::Int:
      return str(key, budget);
    case Value::Kind::Float:
      return json_float(key.number());
    default:
      throw Fault("keys must be str, int, float, bool or None, not " +
                  std::string(key.type_name()));
  }
}

void JsonWriter::begin_line(size_t level) {
  if (!style_.indented) return;
  out_.add("\n");
  for (size_t i = 0; i < level; ++i) out_.add(style_.indent);
}

void JsonWriter::write_text(std::string_view text) {
  std::string quoted = "\"";
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    const char32_t c = code_point(text.substr(at, bytes));
    const std::string_view known = short_escape(c);
    if (!known.empty()) {
      quoted += known;
    } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
      quoted += escaped(c);
    } else {
      quoted += text.substr(at, bytes);
    }
    at += bytes;
  }
  out_.add(quoted += '"');
}

void JsonWriter::write_list(const Items& items, size_t level) {
  if (items.empty()) return out_.add("[]");
  out_.add("[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out_.add(style_.item_separator);
    begin_line(level + 1);
    write(items[i], level + 1);
  }
  begin_line(level);
  out_.add("]");
}

void JsonWriter::write_dict(const Dict& dict, size_t level) {
  if (dict.size() == 0) return out_.add("{}");
  std::vector<Dict::Entry> entries = dict.entries();
  budget_.make(entries.size() * sizeof(Dict::Entry));
  if (style_.sort_keys) {
    std::stable_sort(entries.begin(), entries.end(),
                     [&](const auto& a, const auto& b) { return less(a.first, b.first, budget_); });
  }
  out_.add("{");
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out_.add(style_.item_separator);
    begin_line(level + 1);
    write_text(key_text(entries[i].first, budget_));
    out_.add(style_.key_separator);
    write(entries[i].second, level + 1);
  }
  begin_line(level);
  out_.add("}");
}

void JsonWriter::write(const Value& value, size_t level) {
  budget_.step();
  switch (value.kind()) {
    case Value::Kind::None:
      return out_.add("null");
    case Value::Kind::Bool:
      return out_.add(value.integer() != 0 ? "true" : "false");
    case Value::Kind::Int:
      return out_.add(std::to_string(value.integer()));
    case Value::Kind::Float:
      return out_.add(json_float(value.number()));
    case Value::Kind::Text:
      return write_text(value.text());
    case Value::Kind::List:
    case Value::Kind::Tuple:
      return write_list(value.items(), level);
    case Value::Kind::Dict:
      return write_dict(value.dict(), level);
    default:
      throw Fault("Object of type " + std::string(value.type_name()) + " is not JSON serializable");
  }
}

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace lathe::jinja

#include "data/curate/json_text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <stdexcept>

namespace lathe {
namespace {

using simdjson::dom::element;

struct Changer {
  std::string_view key;
  const std::function<std::string(std::string_view)>& change;
  std::string out;

  void add(const element& value, bool changed) {
    std::string_view text;
    simdjson::dom::object object;
    simdjson::dom::array list;
    if (value.get(text) == simdjson::SUCCESS) {
      append_json_string(out, changed ? change(text) : std::string(text));
    } else if (value.get(object) == simdjson::SUCCESS) {
      add_object(object, key.empty());
    } else if (value.get(list) == simdjson::SUCCESS) {
      out += '[';
      bool first = true;
      for (const element item : list) {
        if (!first) out += ", ";
        first = false;
        add(item, changed);
      }
      out += ']';
    } else {
      out += simdjson::minify(value);
    }
  }

  void add_object(const simdjson::dom::object& object, bool all) {
    out += '{';
    bool first = true;
    for (const auto& [name, value] : object) {
      if (!first) out += ", ";
      first = false;
      append_json_string(out, name);
      out += ": ";
      add(value, all ? name != "role" && name != "from" && name != "type" : name == key);
    }
    out += '}';
  }
};

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out += text.substr(done, i - done);
    done = i + 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += fmt::format("\\u{:04x}", c);
    }
  }
  out += text.substr(done);
  out += '"';
}

std::string json_number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

std::string change_strings(std::string_view object, std::string_view key,
                           const std::function<std::string(std::string_view)>& change) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(object);
  simdjson::dom::object root;
  if (parser.parse(padded).get(root) != simdjson::SUCCESS)
    throw std::invalid_argument("found broken JSON, expected an object");
  Changer changer{key, change, {}};
  changer.add_object(root, key.empty());
  return std::move(changer.out);
}

}  // namespace lathe

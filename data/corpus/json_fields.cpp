#include "data/corpus/json_fields.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace lathe::json_fields {

void fault(const std::string& field, const std::string& found, const std::string& expected) {
  throw std::invalid_argument(fmt::format("{}: found {}, expected {}", field, found, expected));
}

std::string kind_of(const Element& value) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::ARRAY:
      return "a list";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return fmt::format("the number {}", simdjson::minify(value));
  }
}

std::optional<Element> find(const Object& object, std::string_view key, const std::string& field) {
  std::optional<Element> found;
  for (const auto& [name, candidate] : object) {
    if (name != key) continue;
    if (found) fault(field, "the key twice", "it once");
    found = candidate;
  }
  if (found && found->is_null()) return std::nullopt;
  return found;
}

Element at(const Object& object, std::string_view key, const std::string& field,
           const std::string& expected) {
  if (const auto value = find(object, key, field)) return *value;
  Element null;
  if (object.at_key(key).get(null) != simdjson::SUCCESS) fault(field, "no such key", expected);
  return null;
}

std::string text_of(const Element& value, const std::string& field) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) fault(field, kind_of(value), "a string");
  return std::string(text);
}

Array list_of(const Element& value, const std::string& field, const std::string& expected) {
  Array list;
  if (value.get(list) != simdjson::SUCCESS) fault(field, kind_of(value), expected);
  return list;
}

Object object_of(const Element& value, const std::string& field, const std::string& expected) {
  Object object;
  if (value.get(object) != simdjson::SUCCESS) fault(field, kind_of(value), expected);
  return object;
}

std::optional<std::string> text_at(const Object& record, std::string_view key) {
  const auto value = find(record, key, std::string(key));
  if (!value) return std::nullopt;
  std::string text = text_of(*value, std::string(key));
  if (text.empty()) return std::nullopt;
  return text;
}

std::vector<std::string> keys_of(const Object& object) {
  std::vector<std::string> keys;
  for (const auto& [name, unused] : object) keys.emplace_back(name);
  return keys;
}

void ObjectText::add(std::string_view key, std::string_view json) {
  if (!text_.empty()) text_ += ", ";
  text_ += json_string(key) + ": ";
  text_ += json;
}

std::string json_string(std::string_view text) { return nlohmann::json(text).dump(); }

}  // namespace lathe::json_fields

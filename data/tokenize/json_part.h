#pragma once

#include <simdjson.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A part of a JSON file together with its path in it, so that every complaint says where:
// "tokenizer.json: model.vocab".
namespace lathe {

class JsonPart {
 public:
  using Element = simdjson::dom::element;
  JsonPart(Element element, std::string where) : element_(element), where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  [[noreturn]] void fail(const std::string& what) const;

  bool is_null() const { return element_.is_null(); }
  bool is_string() const { return element_.is_string(); }
  bool is_object() const { return element_.is_object(); }
  bool is_array() const { return element_.is_array(); }

  std::string_view string() const;
  bool boolean() const;
  int64_t integer(int64_t low, int64_t high) const;  // in [low, high)
  std::vector<JsonPart> items() const;
  simdjson::dom::array array() const;
  simdjson::dom::object object() const;

  // The field, or nothing when it is absent or null.
  std::optional<JsonPart> find(std::string_view key) const;
  JsonPart at(std::string_view key) const;
  std::string string_or(std::string_view key, const std::string& fallback) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  // Refuses fields that are not among these: what is not known could change the ids.
  void allow(std::initializer_list<std::string_view> keys) const;

 private:
  Element element_;
  std::string where_;
};

// The file as JSON. The parser owns what the part points to.
struct JsonFile {
  explicit JsonFile(const std::string& path);
  simdjson::dom::parser parser;
  std::string path;
  JsonPart root() const { return {root_, path + ": "}; }

 private:
  simdjson::dom::element root_;
};

}  // namespace lathe

#include "data/tokenize/json_part.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace lathe {
namespace {

// The largest tokenizer.json in use has 33 MB.
constexpr uintmax_t kMaxFileBytes = 256u << 20;
constexpr size_t kMaxDepth = 64;

}  // namespace

void JsonPart::fail(const std::string& what) const {
  throw std::invalid_argument(where_ + " " + what);
}

std::string_view JsonPart::string() const {
  std::string_view value;
  if (element_.get(value) != simdjson::SUCCESS) fail("is not a string");
  return value;
}

bool JsonPart::boolean() const {
  bool value = false;
  if (element_.get(value) != simdjson::SUCCESS) fail("is neither true nor false");
  return value;
}

int64_t JsonPart::integer(int64_t low, int64_t high) const {
  int64_t value = 0;
  if (element_.get(value) != simdjson::SUCCESS || value < low || value >= high) {
    fail("is " + simdjson::minify(element_).substr(0, 40) + ", expected an integer from " +
         std::to_string(low) + " to " + std::to_string(high - 1));
  }
  return value;
}

simdjson::dom::array JsonPart::array() const {
  simdjson::dom::array value;
  if (element_.get(value) != simdjson::SUCCESS) fail("is not a list");
  return value;
}

simdjson::dom::object JsonPart::object() const {
  simdjson::dom::object value;
  if (element_.get(value) != simdjson::SUCCESS) fail("is not an object");
  return value;
}

std::vector<JsonPart> JsonPart::items() const {
  std::vector<JsonPart> result;
  for (const Element& item : array())
    result.emplace_back(item, where_ + "[" + std::to_string(result.size()) + "]");
  return result;
}

std::optional<JsonPart> JsonPart::find(std::string_view key) const {
  Element value;
  if (object().at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  const bool at_root = where_.ends_with(' ');
  return JsonPart(value, where_ + (at_root ? "" : ".") + std::string(key));
}

JsonPart JsonPart::at(std::string_view key) const {
  std::optional<JsonPart> part = find(key);
  if (!part) fail("has no " + std::string(key));
  return *part;
}

std::string JsonPart::string_or(std::string_view key, const std::string& fallback) const {
  const std::optional<JsonPart> part = find(key);
  return part ? std::string(part->string()) : fallback;
}

bool JsonPart::boolean_or(std::string_view key, bool fallback) const {
  const std::optional<JsonPart> part = find(key);
  return part ? part->boolean() : fallback;
}

void JsonPart::allow(std::initializer_list<std::string_view> keys) const {
  for (const auto& field : object()) {
    if (std::find(keys.begin(), keys.end(), field.key) == keys.end()) {
      fail("has a field " + std::string(field.key) + ", which is not supported");
    }
  }
}

JsonFile::JsonFile(const std::string& file) : path(file) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw std::invalid_argument(file + ": can not be read (" + error.message() + ")");
  if (size > kMaxFileBytes) throw std::invalid_argument(file + ": is larger than 256 MB");
  if (parser.allocate(size + 1, kMaxDepth) != simdjson::SUCCESS) throw std::bad_alloc();
  const auto code = parser.load(file).get(root_);
  if (code != simdjson::SUCCESS) {
    throw std::invalid_argument(file + ": is no valid JSON: " + simdjson::error_message(code));
  }
}

}  // namespace lathe

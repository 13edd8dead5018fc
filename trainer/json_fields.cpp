#include "trainer/json_fields.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace lathe {
namespace {

constexpr int kMaxDepth = 32;

bool fits_int64(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  return value.is_number_integer();
}

}  // namespace

std::string read_text_file(const std::string& path, uint64_t max_bytes) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) throw std::runtime_error(path + ": cannot be read: " + error.message());
  if (bytes > max_bytes) {
    throw std::invalid_argument(path + ": " + std::to_string(bytes) + " bytes, but at most " +
                                std::to_string(max_bytes) + " are expected in such a file");
  }
  std::string text(bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(bytes))) {
    throw std::runtime_error(path + ": cannot be read");
  }
  return text;
}

Json parse_json_object(const std::string& text, const std::string& where) {
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw std::invalid_argument(where + ": nested too deeply");
    return true;
  };
  try {
    Json json = Json::parse(text, shallow);
    if (!json.is_object()) throw std::invalid_argument(where + ": a JSON object is expected");
    return json;
  } catch (const Json::exception& error) {
    throw std::invalid_argument(where + ": " + error.what());
  }
}

std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

Fields::Fields(const Json& object, std::string where, std::string prefix)
    : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {}

bool Fields::has(const char* key) const {
  return object_.contains(key) && !object_.at(key).is_null();
}

void Fields::fail(const std::string& key, const std::string& reason) const {
  throw std::invalid_argument(where_ + ": " + prefix_ + key + " " + reason);
}

void Fields::wrong_type(const char* key, const char* expected) const {
  fail(key, "is " + shown(at(key)) + " but " + expected + " is expected");
}

int64_t Fields::integer(const char* key, int64_t fallback) const {
  if (!has(key)) return fallback;
  if (!fits_int64(at(key))) wrong_type(key, "an integer");
  return at(key).get<int64_t>();
}

int64_t Fields::size(const char* key, int64_t most) const {
  if (!has(key)) fail(key, "is missing");
  return size(key, most, 0);
}

int64_t Fields::size(const char* key, int64_t most, int64_t fallback) const {
  const int64_t value = integer(key, fallback);
  if (value < 1 || value > most) {
    fail(key, "is " + std::to_string(value) + " but 1 to " + std::to_string(most) + " is expected");
  }
  return value;
}

double Fields::number(const char* key, double fallback, double least) const {
  return has(key) ? number(key, at(key), least) : fallback;
}

double Fields::number(const char* key, const Json& json, double least) const {
  if (!json.is_number()) wrong_type(key, "a number");
  const double value = json.get<double>();
  if (!std::isfinite(value) || value < least)
    fail(key, "is " + shown(at(key)) + ", which is out of range");
  return value;
}

std::vector<double> Fields::numbers(const char* key, double least) const {
  std::vector<double> out;
  if (!has(key)) return out;
  if (!at(key).is_array()) wrong_type(key, "a list of numbers");
  for (const Json& value : at(key)) {
    if (!value.is_number()) wrong_type(key, "a list of numbers");
    out.push_back(number(key, value, least));
  }
  return out;
}

bool Fields::boolean(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!at(key).is_boolean()) wrong_type(key, "true or false");
  return at(key).get<bool>();
}

std::string Fields::text(const char* key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  if (!at(key).is_string()) wrong_type(key, "a string");
  return at(key).get<std::string>();
}

std::vector<int64_t> Fields::ids(const char* key, std::vector<int64_t> fallback) const {
  if (!object_.contains(key)) return fallback;
  if (!has(key)) return {};
  if (!at(key).is_array()) return {id(key, at(key))};
  std::vector<int64_t> out;
  for (const Json& value : at(key)) out.push_back(id(key, value));
  return out;
}

int64_t Fields::optional_id(const char* key, int64_t fallback) const {
  if (!object_.contains(key)) return fallback;
  if (!has(key)) return -1;
  return std::max<int64_t>(integer(key, -1), -1);
}

Fields Fields::section(const char* key) const {
  if (!at(key).is_object()) wrong_type(key, "an object");
  return Fields(at(key), where_, prefix_ + key + ".");
}

int64_t Fields::id(const char* key, const Json& value) const {
  if (!fits_int64(value) || value.get<int64_t>() < 0) wrong_type(key, "a token id");
  return value.get<int64_t>();
}

}  // namespace lathe

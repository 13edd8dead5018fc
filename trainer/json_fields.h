#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Reading the small JSON files of a model folder: bounded in size and depth, each key with the type
// that is expected of it. Every fault is std::invalid_argument naming file, key, what was found and
// what was expected.
namespace lathe {

using Json = nlohmann::json;

// A file of at most max_bytes.
std::string read_text_file(const std::string& path, uint64_t max_bytes);
// An object; `where` names it in messages.
Json parse_json_object(const std::string& text, const std::string& where);
// On one line and shortened, for messages.
std::string shown(const Json& value);

// One JSON object, which must outlive this. null counts as absent, as in transformers.
class Fields {
 public:
  Fields(const Json& object, std::string where, std::string prefix = "");

  bool has(const char* key) const;
  // Whether the key is there, be it null: some classes take null for another thing than nothing.
  bool mentions(const char* key) const { return object_.contains(key); }
  const Json& at(const char* key) const { return object_.at(key); }
  // "<file>: <key> <reason>"
  [[noreturn]] void fail(const std::string& key, const std::string& reason) const;

  int64_t integer(const char* key, int64_t fallback) const;
  // 1 to `most`, so that sizes can be multiplied without a thought.
  int64_t size(const char* key, int64_t most) const;
  int64_t size(const char* key, int64_t most, int64_t fallback) const;
  // Finite and not below `least`.
  double number(const char* key, double fallback, double least) const;
  // A list of such, empty when absent.
  std::vector<double> numbers(const char* key, double least) const;
  bool boolean(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  // A token id, a list of them, or null for none.
  std::vector<int64_t> ids(const char* key, std::vector<int64_t> fallback) const;
  // -1 for null, and for any negative number: the original LLaMA writes -1 for "none".
  int64_t optional_id(const char* key, int64_t fallback) const;
  // The object under a key that is there.
  Fields section(const char* key) const;

 private:
  [[noreturn]] void wrong_type(const char* key, const char* expected) const;
  int64_t id(const char* key, const Json& value) const;
  double number(const char* key, const Json& value, double least) const;

  const Json& object_;
  std::string where_, prefix_;
};

}  // namespace lathe

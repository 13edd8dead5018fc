#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Fields of a JSON record, checked. Every fault is std::invalid_argument "field: found ...,
// expected
// ..."; the file and line are put in front where they are known.
namespace lathe::json_fields {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;
using Array = simdjson::dom::array;

[[noreturn]] void fault(const std::string& field, const std::string& found,
                        const std::string& expected);

std::string kind_of(const Element& value);  // what a value is, for "found ..."

// The value of a key that is there once; nothing when it is absent or null. A key twice is a fault.
std::optional<Element> find(const Object& object, std::string_view key, const std::string& field);
// The same, null included; an absent key is a fault.
Element at(const Object& object, std::string_view key, const std::string& field,
           const std::string& expected);

std::string text_of(const Element& value, const std::string& field);
Array list_of(const Element& value, const std::string& field, const std::string& expected);
Object object_of(const Element& value, const std::string& field, const std::string& expected);

// The text of a key at the top of a record; nothing when it is absent, null or empty.
std::optional<std::string> text_at(const Object& record, std::string_view key);

std::vector<std::string> keys_of(const Object& object);

// An object put together from pieces of JSON text.
class ObjectText {
 public:
  void add(std::string_view key, std::string_view json);
  std::string finish() const { return text_.empty() ? "" : '{' + text_ + '}'; }

 private:
  std::string text_;
};

std::string json_string(std::string_view text);  // as a JSON string

}  // namespace lathe::json_fields

#pragma once

#include <string_view>

#include "data/jinja/arguments.h"

// The filters and tests by name: Jinja's built-in ones, less those that only make sense for HTML,
// and Hugging Face's tojson.
namespace lathe::jinja {

bool is_filter(std::string_view name);
bool is_test(std::string_view name);
// Throw Fault for an unknown name: map, select and their kin take names as values.
Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments,
                   Budget& budget);
bool apply_test(std::string_view name, const Value& input, const Arguments& arguments,
                Budget& budget);

using Filter = Value (*)(std::string_view name, const Value& input, const Arguments&, Budget&);
// The parts of the table; nullptr where the name is not among them.
Filter find_text_filter(std::string_view name);
Filter find_list_filter(std::string_view name);
Filter find_select_filter(std::string_view name);
Filter find_number_filter(std::string_view name);

// An element reached by a dotted path: "function.name", "0.id"; Undefined where it breaks off.
Value element_at(const Value& value, const Value& path, Budget& budget);

struct NamedFilter {
  std::string_view name;
  Filter filter;
};
template <size_t N>
Filter find_in(const NamedFilter (&table)[N], std::string_view name) {
  for (const NamedFilter& entry : table) {
    if (entry.name == name) return entry.filter;
  }
  return nullptr;
}

}  // namespace lathe::jinja

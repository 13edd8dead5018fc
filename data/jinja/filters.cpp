#include "data/jinja/filters.h"

#include <charconv>

#include "data/jinja/methods.h"
#include "data/jinja/operators.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

Filter find_filter(std::string_view name) {
  for (auto find : {find_text_filter, find_list_filter, find_select_filter, find_number_filter}) {
    if (const Filter filter = find(name)) return filter;
  }
  return nullptr;
}

}  // namespace

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments,
                   Budget& budget) {
  budget.step();
  const Filter filter = find_filter(name);
  if (filter == nullptr) throw Fault("no filter named '" + std::string(name) + "'");
  return filter(name, input, arguments, budget);
}

Value element_at(const Value& value, const Value& path, Budget& budget) {
  if (!path.is_text()) return subscript(value, path, budget);
  Value reached = value;
  for (std::string_view part : split(path.text(), ".", -1)) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool index = error == std::errc{} && end == part.data() + part.size() && part[0] != '-';
    reached = subscript(reached, index ? Value(number) : Value(part), budget);
  }
  return reached;
}

}  // namespace lathe::jinja

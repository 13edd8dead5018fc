#include "data/jinja/filters.h"
#include "data/jinja/operators.h"

// The filters that take the name of a filter or test, or a path to an element.
namespace lathe::jinja {
namespace {

// What is left of the arguments after the first `used`.
Arguments rest_of(const Arguments& arguments, size_t used) {
  Arguments rest = arguments;
  const size_t count = std::min(used, rest.positional.size());
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

const std::string& name_at(const Arguments& arguments, size_t index, std::string_view filter) {
  if (index >= arguments.positional.size() || !arguments.positional[index].is_text()) {
    throw Fault(std::string(filter) + "() expects a name as argument " + std::to_string(index + 1));
  }
  return arguments.positional[index].text();
}

Value map_attribute(const Items& items, const Arguments& arguments, Budget& budget) {
  const Bound bound("map", arguments, {"attribute", "default"});
  Items mapped;
  for (const Value& item : items) {
    Value found = element_at(item, bound.required(0), budget);
    if (found.is_undefined() && bound.get(1) != nullptr) found = *bound.get(1);
    mapped.push_back(std::move(found));
  }
  return Value(std::move(mapped));
}

Value map(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Items items = elements(input, budget);
  budget.make(items.size() * sizeof(Value));
  if (arguments.positional.empty()) return map_attribute(items, arguments, budget);
  const std::string& name = name_at(arguments, 0, "map");
  const Arguments rest = rest_of(arguments, 1);
  Items mapped;
  for (const Value& item : items) mapped.push_back(apply_filter(name, item, rest, budget));
  return Value(std::move(mapped));
}

// select, reject, selectattr and rejectattr: the test is applied to the item or to what lies at a
// path in it.
Value select(std::string_view name, const Value& input, const Arguments& arguments,
             Budget& budget) {
  const bool by_path = name.ends_with("attr"), keep = name.starts_with("select");
  const size_t test_at = by_path ? 1 : 0;
  if (by_path && arguments.positional.empty())
    throw Fault(std::string(name) + "() expects an attribute");
  const bool tested = arguments.positional.size() > test_at;
  const std::string test = tested ? name_at(arguments, test_at, name) : "";
  const Arguments rest = rest_of(arguments, test_at + 1);
  Items kept;
  for (const Value& item : elements(input, budget)) {
    budget.step();
    const Value subject = by_path ? element_at(item, arguments.positional[0], budget) : item;
    const bool holds = tested ? apply_test(test, subject, rest, budget) : subject.truth();
    if (holds == keep) kept.push_back(item);
  }
  return Value(std::move(kept));
}

Value group_by(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("groupby", arguments, {"attribute", "default", "case_sensitive"});
  const Value sorted = apply_filter(
      "sort", input,
      {{}, {{"attribute", bound.required(0)}, {"case_sensitive", Value(bound.truth(2, false))}}},
      budget);
  Items groups, members;
  std::optional<Value> current;
  const auto close = [&] {
    if (current) groups.push_back(Value::tuple({*current, Value(std::move(members))}));
    members.clear();
  };
  for (const Value& item : sorted.items()) {
    Value key = element_at(item, bound.required(0), budget);
    if (key.is_undefined() && bound.get(1) != nullptr) key = *bound.get(1);
    if (!current || !equal(*current, key, budget)) {
      close();
      current = key;
    }
    members.push_back(item);
  }
  close();
  return Value(std::move(groups));
}

Value sum(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  const bool by_path = bound.get(0) != nullptr && !bound.get(0)->is_none();
  Value total = bound.get(1) != nullptr ? *bound.get(1) : Value(int64_t{0});
  for (const Value& item : elements(input, budget)) {
    budget.step();
    const Value addend = by_path ? element_at(item, bound.required(0), budget) : item;
    total = calculate(Operator::Add, total, addend, budget);
  }
  return total;
}

constexpr NamedFilter kFilters[] = {
    {"map", map},           {"select", select},    {"reject", select}, {"selectattr", select},
    {"rejectattr", select}, {"groupby", group_by}, {"sum", sum},
};

}  // namespace

Filter find_select_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lathe::jinja

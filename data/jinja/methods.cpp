#include "data/jinja/methods.h"

#include <algorithm>
#include <array>

#include "data/jinja/print.h"
#include "data/jinja/text_methods.h"

namespace lathe::jinja {
namespace {

using Kind = Value::Kind;

constexpr std::array kDictMethods{"get", "items", "keys", "values", "copy"};
constexpr std::array kListMethods{"index", "count", "copy"};
constexpr std::array kLoopMethods{"cycle", "changed"};
// Python has them; Jinja's immutable sandbox does not let a template use them.
constexpr std::array kRefusedOfDict{"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::array kRefusedOfList{"append", "clear",  "extend",  "insert",
                                    "pop",    "remove", "reverse", "sort"};

template <size_t N>
bool among(const std::array<const char*, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool has_method(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::Text:
      return is_text_method(name);
    case Kind::Dict:
      return among(kDictMethods, name);
    case Kind::List:
    case Kind::Tuple:
      return among(kListMethods, name);
    case Kind::Loop:
      return among(kLoopMethods, name);
    default:
      return false;
  }
}

bool is_refused(const Value& value, std::string_view name) {
  if (name.substr(0, 2) == "__") return true;
  if (value.is_dict()) return among(kRefusedOfDict, name);
  return value.kind() == Kind::List && among(kRefusedOfList, name);
}

const Value* element(const Value& value, std::string_view name) {
  if (value.is_dict()) return value.dict().find(name);
  if (value.kind() == Kind::Namespace) return value.space().attributes.find(name);
  return nullptr;
}

Value neighbour(const Loop& loop, bool next) {
  const bool there = next ? loop.index + 1 < loop.list.items().size() : loop.index > 0;
  if (!there) return Value::undefined(next ? "there is no next item" : "there is no previous item");
  return loop.list.items()[next ? loop.index + 1 : loop.index - 1];
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto count = static_cast<int64_t>(loop.list.items().size());
  const auto index0 = static_cast<int64_t>(loop.index);
  if (name == "index") return Value(index0 + 1);
  if (name == "index0") return Value(index0);
  if (name == "revindex") return Value(count - index0);
  if (name == "revindex0") return Value(count - index0 - 1);
  if (name == "first") return Value(index0 == 0);
  if (name == "last") return Value(index0 + 1 == count);
  if (name == "length") return Value(count);
  // Of recursive loops, which are not supported.
  if (name == "depth" || name == "depth0") return Value(int64_t{name == "depth"});
  if (name == "previtem") return neighbour(loop, false);
  if (name == "nextitem") return neighbour(loop, true);
  return Value::undefined("'loop' has no attribute '" + std::string(name) + "'");
}

Value call_loop(Loop& loop, std::string_view name, const Arguments& arguments, Budget& budget) {
  if (!arguments.named.empty())
    throw Fault("loop." + std::string(name) + "() takes no keyword arguments");
  const Items& items = arguments.positional;
  if (name == "cycle") {
    if (items.empty()) throw Fault("no items for cycling given");
    return items[loop.index % items.size()];
  }
  std::string seen = repr(Value(items), budget);
  const bool changed = loop.changed != seen;
  loop.changed = std::move(seen);
  return Value(changed);
}

Value call_dict(const Value& self, std::string_view name, const Arguments& arguments,
                Budget& budget) {
  const Dict& dict = self.dict();
  if (name == "get") {
    const Bound bound("get", arguments, {"key", "default"});
    const Value* found = dict.find(bound.required(0));
    if (found != nullptr) return *found;
    return bound.get(1) != nullptr ? *bound.get(1) : Value();
  }
  const Bound none(name, arguments, {});
  budget.step(dict.size());
  budget.make(dict.size() * 2 * sizeof(Dict::Entry));
  if (name == "copy") return self;
  Items items;
  items.reserve(dict.size());
  for (const auto& [key, value] : dict.entries()) {
    if (name == "keys") items.push_back(key);
    if (name == "values") items.push_back(value);
    if (name == "items") items.push_back(Value::tuple({key, value}));
  }
  return Value(std::move(items));
}

Value call_list(const Value& self, std::string_view name, const Arguments& arguments,
                Budget& budget) {
  if (name == "copy") return self;
  const Bound bound(name, arguments, {"value"});
  int64_t count = 0;
  for (size_t i = 0; i < self.items().size(); ++i) {
    if (!equal(self.items()[i], bound.required(0), budget)) continue;
    if (name == "index") return Value(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") throw Fault("list.index(): the value is not in the list");
  return Value(count);
}

}  // namespace

std::string object_name(const Value& value) {
  if (value.is_none()) return "'None'";
  return "'" + std::string(value.type_name()) + " object'";
}

Value attribute(const Value& value, std::string_view name, AttributeOrder order, Budget& budget) {
  budget.step();
  if (value.is_undefined()) throw Fault(value.why());
  if (is_refused(value, name)) {
    return Value::undefined(
        "access to attribute '" + std::string(name) + "' of '" + std::string(value.type_name()) +
        "' object is unsafe: templates run in a sandbox and can not change values");
  }
  if (has_method(value, name)) {
    budget.make(sizeof(Function) + name.size());
    return Value(Function{Function::Kind::Method, std::string(name), value, nullptr});
  }
  if (value.kind() == Kind::Loop) return loop_attribute(value.loop(), name);
  if (order == AttributeOrder::MethodsFirst) {
    if (const Value* found = element(value, name)) return *found;
  }
  return Value::undefined(object_name(value) + " has no attribute '" + std::string(name) + "'");
}

Value call_method(const Function& method, const Arguments& arguments, Budget& budget) {
  switch (method.self.kind()) {
    case Kind::Text:
      return call_text_method(method.name, method.self.text(), arguments, budget);
    case Kind::Dict:
      return call_dict(method.self, method.name, arguments, budget);
    case Kind::Loop:
      return call_loop(method.self.loop(), method.name, arguments, budget);
    default:
      return call_list(method.self, method.name, arguments, budget);
  }
}

}  // namespace lathe::jinja

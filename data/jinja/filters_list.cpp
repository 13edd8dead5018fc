#include <algorithm>
#include <unordered_set>

#include "data/jinja/filters.h"
#include "data/jinja/methods.h"
#include "data/jinja/operators.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

Value count(std::string_view name, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound none(name, arguments, {});
  return Value(length(input, budget));
}

Value end_of(std::string_view name, const Value& input, const Arguments& arguments,
             Budget& budget) {
  const Bound none(name, arguments, {});
  const Items items = elements(input, budget);
  if (items.empty())
    return Value::undefined("No " + std::string(name) + " item, sequence was empty.");
  return name == "first" ? items.front() : items.back();
}

Value join(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string separator = bound.get(0) != nullptr ? str(*bound.get(0), budget) : "";
  const bool by_path = bound.get(1) != nullptr && !bound.get(1)->is_none();
  TextBuilder out(budget);
  bool first = true;
  for (const Value& item : elements(input, budget)) {
    budget.step();
    if (!first) out.add(separator);
    first = false;
    out.add(str(by_path ? element_at(item, bound.required(1), budget) : item, budget));
  }
  return Value(out.take());
}

Value list(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound none("list", arguments, {});
  return Value(elements(input, budget));
}

Value reverse(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound none("reverse", arguments, {});
  Items items = elements(input, budget);
  std::reverse(items.begin(), items.end());
  if (!input.is_text()) return Value(std::move(items));
  TextBuilder out(budget);
  for (const Value& item : items) out.add(item.text());
  return Value(out.take());
}

Value pairs(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound none("items", arguments, {});
  if (input.is_undefined()) return Value(Items{});
  if (!input.is_dict()) throw Fault("Can only get item pairs from a mapping.");
  return call_method({Function::Kind::Method, "items", input, nullptr}, {}, budget);
}

// Jinja sorts and compares strings without regard to case unless told otherwise.
Value folded(const Value& value, bool case_sensitive, Budget& budget) {
  if (case_sensitive || !value.is_text()) return value;
  budget.make(value.text().size());
  return Value(to_lower(value.text()));
}

Items sorted_by(const Items& items, const std::vector<Value>& keys, bool reverse, Budget& budget) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? less(keys[b], keys[a], budget) : less(keys[a], keys[b], budget);
  });
  Items sorted;
  for (size_t at : order) sorted.push_back(items[at]);
  return sorted;
}

// Paths separated by commas make a key of several parts.
Value sort_key(const Value& item, const Value* path, bool case_sensitive, Budget& budget) {
  if (path == nullptr || path->is_none()) return folded(item, case_sensitive, budget);
  if (!path->is_text() || path->text().find(',') == std::string::npos) {
    return folded(element_at(item, *path, budget), case_sensitive, budget);
  }
  Items parts;
  for (std::string_view part : split(path->text(), ",", -1)) {
    parts.push_back(folded(element_at(item, Value(part), budget), case_sensitive, budget));
  }
  return Value(std::move(parts));
}

Value sort(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const Items items = elements(input, budget);
  std::vector<Value> keys;
  for (const Value& item : items) {
    keys.push_back(sort_key(item, bound.get(2), bound.truth(1, false), budget));
  }
  return Value(sorted_by(items, keys, bound.truth(0, false), budget));
}

Value dict_sort(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = bound.text(1, "key");
  if (by != "key" && by != "value") throw Fault("You can only sort by either \"key\" or \"value\"");
  if (!input.is_dict())
    throw Fault("dictsort() expects a mapping, got " + std::string(input.type_name()));
  const Items items = pairs("items", input, {}, budget).items();
  std::vector<Value> keys;
  for (const Value& pair : items) {
    keys.push_back(folded(pair.items()[by == "key" ? 0 : 1], bound.truth(0, false), budget));
  }
  return Value(sorted_by(items, keys, bound.truth(2, false), budget));
}

Value unique(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  Dict seen;
  Items kept;
  for (const Value& item : elements(input, budget)) {
    budget.step();
    const Value key = sort_key(item, bound.get(1), bound.truth(0, false), budget);
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value());
    kept.push_back(item);
  }
  return Value(std::move(kept));
}

Value extreme(std::string_view name, const Value& input, const Arguments& arguments,
              Budget& budget) {
  const Bound bound(name, arguments, {"case_sensitive", "attribute"});
  std::optional<Value> best, best_key;
  for (const Value& item : elements(input, budget)) {
    const Value key = sort_key(item, bound.get(1), bound.truth(0, false), budget);
    if (best && !(name == "min" ? less(key, *best_key, budget) : less(*best_key, key, budget)))
      continue;
    best = item;
    best_key = key;
  }
  return best ? *best : Value::undefined("No aggregated item, sequence was empty.");
}

Value default_value(std::string_view, const Value& input, const Arguments& arguments, Budget&) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  if (!input.is_undefined() && (!bound.truth(1, false) || input.truth())) return input;
  return bound.get(0) != nullptr ? *bound.get(0) : Value("");
}

Value batch(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"});
  bound.required(0);
  const int64_t size = bound.integer(0, 1);
  if (size < 1 || size > 1'000'000) throw Fault("batch() expects a linecount of 1 to 1000000");
  Items batches, row;
  const auto close = [&] { batches.emplace_back(std::exchange(row, {})); };
  for (const Value& item : elements(input, budget)) {
    if (static_cast<int64_t>(row.size()) == size) close();
    row.push_back(item);
  }
  if (!row.empty() && bound.get(1) != nullptr && !bound.get(1)->is_none()) {
    budget.make(static_cast<uint64_t>(size) * sizeof(Value));
    row.resize(static_cast<size_t>(size), *bound.get(1));
  }
  if (!row.empty()) close();
  return Value(std::move(batches));
}

Value attr(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("attr", arguments, {"name"});
  bound.required(0);
  return attribute(input, bound.text(0, ""), AttributeOrder::MethodsOnly, budget);
}

constexpr NamedFilter kFilters[] = {
    {"length", count},    {"count", count},
    {"first", end_of},    {"last", end_of},
    {"join", join},       {"list", list},
    {"reverse", reverse}, {"items", pairs},
    {"sort", sort},       {"dictsort", dict_sort},
    {"unique", unique},   {"min", extreme},
    {"max", extreme},     {"default", default_value},
    {"d", default_value}, {"batch", batch},
    {"attr", attr},
};

}  // namespace

Filter find_list_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lathe::jinja

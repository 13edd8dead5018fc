#include "data/jinja/functions.h"

#include "data/jinja/print.h"
#include "data/jinja/text_methods.h"

namespace lathe::jinja {
namespace {

Value range(const Arguments& arguments, Budget& budget) {
  const Bound bound("range", arguments, {"start", "stop", "step"});
  bound.required(0);
  const bool one = bound.get(1) == nullptr;
  const int64_t start = one ? 0 : bound.integer(0, 0),
                stop = one ? bound.integer(0, 0) : bound.integer(1, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) throw Fault("range() arg 3 must not be zero");
  int64_t distance = 0;
  if (step > 0 ? start >= stop : start <= stop) return Value(Items{});
  const bool overflows = step > 0 ? __builtin_sub_overflow(stop, start, &distance)
                                  : __builtin_sub_overflow(start, stop, &distance);
  const uint64_t stride =
      step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  const uint64_t count =
      overflows ? UINT64_MAX : (static_cast<uint64_t>(distance) - 1) / stride + 1;
  if (count > budget.limits().range) {
    throw Fault("range() of more than " + std::to_string(budget.limits().range) +
                " elements (limit reached)");
  }
  budget.make(count * sizeof(Value));
  Items items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.emplace_back(start + static_cast<int64_t>(i) * step);
  return Value(std::move(items));
}

Value strftime_now(const Arguments& arguments, const std::optional<std::tm>& now, Budget& budget) {
  const Bound bound("strftime_now", arguments, {"format"});
  bound.required(0);
  const std::string_view format = bound.text(0, "");
  if (!now) throw Fault("strftime_now() was called, but the caller gave no time");
  if (format.size() > 256) throw Fault("strftime_now() takes a format of at most 256 bytes");
  // The standard's function knows no microseconds, and says nothing for an empty text.
  const Value whole = replace_text(format, "%f", "000000", -1, budget);
  char text[8192];
  const std::string ended = whole.text() + "|";
  const size_t size = std::strftime(text, sizeof text, ended.c_str(), &*now);
  return Value(std::string_view(text, size == 0 ? 0 : size - 1));
}

}  // namespace

Dict make_dict(const Arguments& arguments, Budget& budget) {
  Dict dict;
  if (arguments.positional.size() > 1) throw Fault("dict() takes at most 1 positional argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      dict = source.dict();
      budget.make(dict.size() * sizeof(Dict::Entry));
    } else {
      for (const Value& pair : elements(source, budget)) {
        const Items parts = elements(pair, budget);
        if (parts.size() != 2) throw Fault("dict() expects pairs");
        dict.set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(Value(name), value);
  budget.make(dict.size() * sizeof(Dict::Entry));
  return dict;
}

Value call_function(std::string_view name, const Arguments& arguments,
                    const std::optional<std::tm>& now, Budget& budget) {
  if (name == "range") return range(arguments, budget);
  if (name == "dict") return Value(make_dict(arguments, budget));
  if (name == "strftime_now") return strftime_now(arguments, now, budget);
  const Bound bound("raise_exception", arguments, {"message"});
  throw RaisedFault(str(bound.required(0), budget));
}

}  // namespace lathe::jinja

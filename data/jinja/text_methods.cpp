#include "data/jinja/text_methods.h"

#include <algorithm>
#include <array>

#include "data/jinja/operators.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

Value strip_method(std::string_view name, std::string_view self, const Arguments& arguments,
                   Budget& budget) {
  const Bound bound(name, arguments, {"chars"});
  const Side side = name == "strip" ? Side::Both : name == "lstrip" ? Side::Left : Side::Right;
  const bool given = bound.get(0) != nullptr && !bound.get(0)->is_none();
  std::optional<std::string_view> chars;
  if (given) chars = bound.text(0, "");
  const std::string_view rest = strip(self, side, chars);
  budget.make(rest.size());
  return Value(rest);
}

Value case_method(std::string_view name, std::string_view self, const Arguments& arguments,
                  Budget& budget) {
  const Bound none(name, arguments, {});
  budget.make(2 * self.size());
  budget.step(self.size() / 8);
  if (name == "upper") return Value(to_upper(self));
  if (name == "lower") return Value(to_lower(self));
  if (name == "title") return Value(title(self));
  return Value(capitalize(self));
}

Value split_method(std::string_view name, std::string_view self, const Arguments& arguments,
                   Budget& budget) {
  const Bound bound(name, arguments, {"sep", "maxsplit"});
  std::optional<std::string_view> separator;
  if (bound.get(0) != nullptr && !bound.get(0)->is_none()) separator = bound.text(0, "");
  const int64_t limit = bound.integer(1, -1);
  budget.make(self.size());
  return text_list(
      name == "split" ? split(self, separator, limit) : split_from_right(self, separator, limit),
      budget);
}

Value split_lines_method(std::string_view, std::string_view self, const Arguments& arguments,
                         Budget& budget) {
  const Bound bound("splitlines", arguments, {"keepends"});
  return text_list(split_lines(self, bound.truth(0, false)), budget);
}

bool affix_matches(std::string_view name, std::string_view self, const Value& affix) {
  if (affix.kind() == Value::Kind::Tuple) {
    return std::any_of(affix.items().begin(), affix.items().end(),
                       [&](const Value& each) { return affix_matches(name, self, each); });
  }
  if (affix.is_undefined()) throw Fault(affix.why());
  if (!affix.is_text()) {
    throw Fault(std::string(name) + " first arg must be str or a tuple of str, not " +
                std::string(affix.type_name()));
  }
  return name == "startswith" ? self.starts_with(affix.text()) : self.ends_with(affix.text());
}

Value affix_method(std::string_view name, std::string_view self, const Arguments& arguments,
                   Budget& budget) {
  const Bound bound(name, arguments, {"prefix", "start", "end"});
  std::string cut;
  if (bound.get(1) != nullptr) {
    const Value stop = bound.get(2) != nullptr ? *bound.get(2) : Value();
    cut = slice(Value(self), *bound.get(1), stop, Value(), budget).text();
    self = cut;
  }
  return Value(affix_matches(name, self, bound.required(0)));
}

Value remove_affix_method(std::string_view name, std::string_view self, const Arguments& arguments,
                          Budget& budget) {
  const Bound bound(name, arguments, {"affix"});
  bound.required(0);
  const std::string_view affix = bound.text(0, "");
  budget.make(self.size());
  if (name == "removeprefix" && self.starts_with(affix)) self.remove_prefix(affix.size());
  if (name == "removesuffix" && self.ends_with(affix)) self.remove_suffix(affix.size());
  return Value(self);
}

Value find_method(std::string_view name, std::string_view self, const Arguments& arguments,
                  Budget& budget) {
  const Bound bound(name, arguments, {"sub"});
  bound.required(0);
  const std::string_view needle = bound.text(0, "");
  budget.scan(self.size());
  const size_t at = name[0] == 'r' ? find_last_text(self, needle) : find_text(self, needle);
  if (at == kNone && (name == "index" || name == "rindex")) throw Fault("substring not found");
  return Value(at == kNone ? int64_t{-1}
                           : static_cast<int64_t>(count_characters(self.substr(0, at))));
}

Value count_method(std::string_view, std::string_view self, const Arguments& arguments,
                   Budget& budget) {
  const Bound bound("count", arguments, {"sub"});
  bound.required(0);
  const std::string_view needle = bound.text(0, "");
  budget.scan(self.size());
  if (needle.empty()) return Value(static_cast<int64_t>(count_characters(self)) + 1);
  int64_t count = 0;
  for (size_t at = find_text(self, needle); at != kNone;
       at = find_text(self, needle, at + needle.size())) {
    ++count;
  }
  return Value(count);
}

Value replace_method(std::string_view, std::string_view self, const Arguments& arguments,
                     Budget& budget) {
  const Bound bound("replace", arguments, {"old", "new", "count"});
  bound.required(0);
  bound.required(1);
  return replace_text(self, bound.text(0, ""), bound.text(1, ""), bound.integer(2, -1), budget);
}

Value join_method(std::string_view, std::string_view self, const Arguments& arguments,
                  Budget& budget) {
  const Bound bound("join", arguments, {"iterable"});
  const Items items = elements(bound.required(0), budget);
  TextBuilder out(budget);
  for (size_t i = 0; i < items.size(); ++i) {
    budget.step();
    if (!items[i].is_text()) {
      throw Fault("sequence item " + std::to_string(i) + ": expected str instance, " +
                  std::string(items[i].type_name()) + " found");
    }
    if (i > 0) out.add(self);
    out.add(items[i].text());
  }
  return Value(out.take());
}

// True when there is a character and all are of the kind; upper and lower look at cased letters
// only.
Value kind_method(std::string_view name, std::string_view self, const Arguments& arguments,
                  Budget& budget) {
  const Bound none(name, arguments, {});
  budget.step(self.size() / 8);
  bool some = false;
  for (size_t at = 0; at < self.size(); at += character_bytes(self, at)) {
    const char32_t c = code_point(self.substr(at, character_bytes(self, at)));
    if (name == "isupper" || name == "islower") {
      const bool upper = is_upper(c), lower = is_lower(c);
      if (name == "isupper" ? lower : upper) return Value(false);
      some = some || upper || lower;
      continue;
    }
    some = true;
    const bool fits = name == "isspace"   ? is_space(c)
                      : name == "isalpha" ? is_letter(c)
                      : name == "isalnum" ? is_letter(c) || is_digit(c)
                                          : is_digit(c);
    if (!fits) return Value(false);
  }
  return Value(some);
}

Value pad_method(std::string_view name, std::string_view self, const Arguments& arguments,
                 Budget& budget) {
  const Bound bound(name, arguments, {"width", "fillchar"});
  bound.required(0);
  const int64_t missing = bound.integer(0, 0) - static_cast<int64_t>(count_characters(self));
  const std::string_view fill = bound.text(1, name == "zfill" ? "0" : " ");
  if (count_characters(fill) != 1)
    throw Fault("the fill character must be exactly one character long");
  if (missing <= 0) return Value(self);
  int64_t left = name == "ljust" ? 0 : missing;
  // str.center puts the odd one left when both are odd.
  if (name == "center") left = missing / 2 + (missing & bound.integer(0, 0) & 1);
  const bool sign = name == "zfill" && !self.empty() && (self[0] == '-' || self[0] == '+');
  TextBuilder out(budget);
  if (sign) out.add(self.substr(0, 1));
  for (int64_t i = 0; i < left; ++i) out.add(fill);
  out.add(sign ? self.substr(1) : self);
  for (int64_t i = left; i < missing; ++i) out.add(fill);
  return Value(out.take());
}

Value partition_method(std::string_view name, std::string_view self, const Arguments& arguments,
                       Budget& budget) {
  const Bound bound(name, arguments, {"sep"});
  bound.required(0);
  const std::string_view separator = bound.text(0, "");
  budget.make(self.size() + 256);
  const bool right = name == "rpartition";
  const auto parts = right ? split_from_right(self, separator, 1) : split(self, separator, 1);
  if (parts.size() == 2) return Value::tuple({Value(parts[0]), Value(separator), Value(parts[1])});
  if (right) return Value::tuple({Value(""), Value(""), Value(self)});
  return Value::tuple({Value(self), Value(""), Value("")});
}

using Method = Value (*)(std::string_view name, std::string_view self, const Arguments&, Budget&);
struct Entry {
  std::string_view name;
  Method method;
};
constexpr std::array kMethods{
    Entry{"strip", strip_method},
    Entry{"lstrip", strip_method},
    Entry{"rstrip", strip_method},
    Entry{"split", split_method},
    Entry{"rsplit", split_method},
    Entry{"splitlines", split_lines_method},
    Entry{"startswith", affix_method},
    Entry{"endswith", affix_method},
    Entry{"removeprefix", remove_affix_method},
    Entry{"removesuffix", remove_affix_method},
    Entry{"replace", replace_method},
    Entry{"upper", case_method},
    Entry{"lower", case_method},
    Entry{"title", case_method},
    Entry{"capitalize", case_method},
    Entry{"find", find_method},
    Entry{"rfind", find_method},
    Entry{"index", find_method},
    Entry{"rindex", find_method},
    Entry{"count", count_method},
    Entry{"join", join_method},
    Entry{"isdigit", kind_method},
    Entry{"isdecimal", kind_method},
    Entry{"isnumeric", kind_method},
    Entry{"isalpha", kind_method},
    Entry{"isalnum", kind_method},
    Entry{"isspace", kind_method},
    Entry{"isupper", kind_method},
    Entry{"islower", kind_method},
    Entry{"center", pad_method},
    Entry{"ljust", pad_method},
    Entry{"rjust", pad_method},
    Entry{"zfill", pad_method},
    Entry{"partition", partition_method},
    Entry{"rpartition", partition_method},
};

const Entry* find_entry(std::string_view name) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found == kMethods.end() ? nullptr : &*found;
}

}  // namespace

bool is_text_method(std::string_view name) { return find_entry(name) != nullptr; }

Value call_text_method(std::string_view name, std::string_view self, const Arguments& arguments,
                       Budget& budget) {
  budget.scan(self.size());
  return find_entry(name)->method(name, self, arguments, budget);
}

Value text_list(const std::vector<std::string_view>& parts, Budget& budget) {
  budget.step(parts.size());
  budget.make(parts.size() * (sizeof(Value) + 48));
  Items items;
  items.reserve(parts.size());
  for (std::string_view part : parts) {
    budget.make(part.size());
    items.emplace_back(part);
  }
  return Value(std::move(items));
}

Value replace_text(std::string_view text, std::string_view before, std::string_view after,
                   int64_t count, Budget& budget) {
  budget.scan(text.size());
  TextBuilder out(budget);
  size_t from = 0;
  if (before.empty()) {
    // Python puts `after` before every character and at the end.
    for (; from <= text.size() && count != 0; --count) {
      budget.step();
      out.add(after);
      const size_t bytes = from < text.size() ? character_bytes(text, from) : 1;
      if (from < text.size()) out.add(text.substr(from, bytes));
      from += bytes;
    }
    if (from < text.size()) out.add(text.substr(from));
    return Value(out.take());
  }
  for (; count != 0; --count) {
    const size_t found = find_text(text, before, from);
    if (found == kNone) break;
    budget.step();
    out.add(text.substr(from, found - from));
    out.add(after);
    from = found + before.size();
  }
  out.add(text.substr(from));
  return Value(out.take());
}

}  // namespace lathe::jinja

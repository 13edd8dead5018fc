#include <algorithm>

#include "data/jinja/filters.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"
#include "data/jinja/text_methods.h"

namespace lathe::jinja {
namespace {

Value trim(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("trim", arguments, {"chars"});
  const bool given = bound.get(0) != nullptr && !bound.get(0)->is_none();
  std::optional<std::string_view> chars;
  if (given) chars = bound.text(0, "");
  const std::string text = str(input, budget);
  return Value(strip(text, Side::Both, chars));
}

Value change_case(std::string_view name, const Value& input, const Arguments& arguments,
                  Budget& budget) {
  const Bound none(name, arguments, {});
  const std::string text = str(input, budget);
  budget.make(text.size());
  budget.step(text.size() / 8);
  if (name == "upper") return Value(to_upper(text));
  if (name == "lower") return Value(to_lower(text));
  return Value(name == "title" ? title_words(text) : capitalize(text));
}

Value replace(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("replace", arguments, {"old", "new", "count"});
  const std::string before = str(bound.required(0), budget), after = str(bound.required(1), budget);
  const bool all = bound.get(2) == nullptr || bound.get(2)->is_none();
  return replace_text(str(input, budget), before, after, all ? -1 : bound.integer(2, -1), budget);
}

Value string(std::string_view name, const Value& input, const Arguments& arguments,
             Budget& budget) {
  const Bound none(name, arguments, {});
  return input.is_text() ? input : Value(str(input, budget));
}

Value escape(std::string_view name, const Value& input, const Arguments& arguments,
             Budget& budget) {
  const Bound none(name, arguments, {});
  TextBuilder out(budget);
  for (const char c : str(input, budget)) {
    switch (c) {
      case '&':
        out.add("&amp;");
        break;
      case '<':
        out.add("&lt;");
        break;
      case '>':
        out.add("&gt;");
        break;
      case '\'':
        out.add("&#39;");
        break;
      case '"':
        out.add("&#34;");
        break;
      default:
        out.add(std::string_view(&c, 1));
    }
  }
  return Value(out.take());
}

Value indent(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  const bool as_text = bound.get(0) != nullptr && bound.get(0)->is_text();
  const int64_t width = as_text ? 0 : std::max<int64_t>(0, bound.integer(0, 4));
  budget.make(static_cast<uint64_t>(width));
  const std::string indention =
      as_text ? std::string(bound.text(0, "")) : std::string(static_cast<size_t>(width), ' ');
  const std::string text = str(input, budget) + "\n";
  const bool first = bound.truth(1, false), blank = bound.truth(2, false);
  TextBuilder out(budget);
  const std::vector<std::string_view> lines = split_lines(text, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    budget.step();
    if (i > 0) out.add("\n");
    if (i == 0 ? first : blank || !lines[i].empty()) out.add(indention);
    out.add(lines[i]);
  }
  return Value(out.take());
}

Value truncate(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::string text = str(input, budget);
  const std::string_view end = bound.text(2, "...");
  const int64_t length = bound.integer(0, 255), leeway = bound.integer(3, 5);
  const auto kept = length - static_cast<int64_t>(count_characters(end));
  if (kept < 0 || leeway < 0)
    throw Fault("truncate() needs room for its end, and a leeway of 0 or more");
  const std::vector<std::string_view> all = characters(text);
  if (static_cast<int64_t>(all.size()) - leeway <= length) return Value(text);
  const char* stop = static_cast<size_t>(kept) < all.size() ? all[static_cast<size_t>(kept)].data()
                                                            : text.data() + text.size();
  std::string_view head = std::string_view(text).substr(0, static_cast<size_t>(stop - text.data()));
  if (!bound.truth(1, false)) head = split_from_right(head, " ", 1).front();
  return Value(std::string(head) + std::string(end));
}

Value word_count(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound none("wordcount", arguments, {});
  const std::string text = str(input, budget);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = std::string_view(text).substr(at, character_bytes(text, at));
    const char32_t c = code_point(character);
    const bool word = c == '_' || is_letter(c) || is_digit(c);
    words += word && !inside ? 1 : 0;
    inside = word;
    at += character.size();
  }
  return Value(words);
}

Value center(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("center", arguments, {"width"});
  return call_text_method("center", str(input, budget), {{Value(bound.integer(0, 80))}, {}},
                          budget);
}

Value format(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  if (!arguments.named.empty()) throw Fault("format() with keyword arguments is not supported");
  return Value(format_percent(str(input, budget), Value::tuple(arguments.positional), budget));
}

void read_separators(const Value& value, JsonStyle& style) {
  if (!value.is_sequence() || value.items().size() != 2 || !value.items()[0].is_text() ||
      !value.items()[1].is_text()) {
    throw Fault("tojson() expects two strings as 'separators'");
  }
  style.item_separator = value.items()[0].text();
  style.key_separator = value.items()[1].text();
}

// As transformers defines it over Jinja's own, which would escape for HTML.
Value tojson(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  const Value* indent = bound.get(1);
  if (indent != nullptr && !indent->is_none()) {
    style.indented = true;
    style.item_separator = ",";
    const int64_t width = indent->is_text() ? 0 : std::max<int64_t>(0, bound.integer(1, 0));
    if (width > 1000) throw Fault("tojson() indents by at most 1000");
    style.indent =
        indent->is_text() ? indent->text() : std::string(static_cast<size_t>(width), ' ');
  }
  if (bound.get(2) != nullptr && !bound.get(2)->is_none()) read_separators(*bound.get(2), style);
  return Value(to_json(input, style, budget));
}

constexpr NamedFilter kFilters[] = {
    {"trim", trim},
    {"upper", change_case},
    {"lower", change_case},
    {"title", change_case},
    {"capitalize", change_case},
    {"replace", replace},
    {"string", string},
    {"safe", string},
    {"escape", escape},
    {"e", escape},
    {"forceescape", escape},
    {"indent", indent},
    {"truncate", truncate},
    {"wordcount", word_count},
    {"center", center},
    {"format", format},
    {"tojson", tojson},
};

}  // namespace

Filter find_text_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lathe::jinja

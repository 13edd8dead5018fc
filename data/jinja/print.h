#pragma once

#include <string>
#include <string_view>

#include "data/jinja/value.h"

// How Python prints values.
namespace lathe::jinja {

// Collects text and charges the budget as it grows.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  void add(std::string_view text) {
    budget_.make(text.size());
    text_ += text;
  }
  std::string take() { return std::move(text_); }

 private:
  Budget& budget_;
  std::string text_;
};

std::string float_text(double value);  // repr(float): 1.0, 1e+16, nan, inf
std::string str(const Value& value, Budget& budget);
std::string repr(const Value& value, Budget& budget);

// The operator text % values: %s %r %d %i %f %g %x with flags, width and precision, and %%.
std::string format_percent(std::string_view format, const Value& values, Budget& budget);

struct JsonStyle {
  bool ensure_ascii = false;
  bool indented = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// json.dumps. Throws Fault for what has no JSON form.
std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace lathe::jinja

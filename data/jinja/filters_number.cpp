#include <charconv>
#include <cmath>
#include <cstdlib>

#include "data/jinja/filters.h"
#include "data/jinja/operators.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

// Digits as int() and float() read them: white space around, single underscores between digits.
std::optional<std::string> number_text(std::string_view text) {
  text = strip(text, Side::Both);
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() &&
                         std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                         std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return std::nullopt;
  }
  if (digits.empty() || digits.size() > 400) return std::nullopt;
  return digits;
}

std::optional<double> parse_float(std::string_view text) {
  std::optional<std::string> digits = number_text(text);
  if (!digits) return std::nullopt;
  std::string_view rest = *digits;
  if (rest[0] == '+' && rest.size() > 1 && rest[1] != '-') rest.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = std::strtod(digits->c_str(), nullptr);
  return value;
}

std::optional<int64_t> parse_integer(std::string_view text, int64_t base) {
  const std::optional<std::string> digits = number_text(text);
  if (!digits || base < 0 || base == 1 || base > 36) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (rest[0] == '+' || rest[0] == '-') rest.remove_prefix(1);
  if (rest.size() > 2 && rest[0] == '0') {
    const char mark = static_cast<char>(rest[1] | 0x20);
    const int64_t named = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (named != 0 && (base == 0 || base == named)) {
      rest.remove_prefix(2);
      base = named;
    }
  }
  if (rest.empty() || rest[0] == '-') return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value,
                                            base == 0 ? 10 : static_cast<int>(base));
  if (end != rest.data() + rest.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error != std::errc{}) throw Fault("an integer leaves 64 bits");
  return negative ? -value : value;
}

std::optional<int64_t> whole(double value) {
  if (std::isnan(value) || std::isinf(value)) return std::nullopt;
  if (std::abs(value) >= 9.2e18) throw Fault("an integer leaves 64 bits");
  return static_cast<int64_t>(value);
}

Value to_int(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("int", arguments, {"default", "base"});
  const Value otherwise = bound.get(0) != nullptr ? *bound.get(0) : Value(int64_t{0});
  std::optional<int64_t> value;
  if (input.is_undefined()) throw Fault(input.why());
  if (input.is_integer()) value = input.integer();
  if (input.kind() == Value::Kind::Float) value = whole(input.number());
  if (input.is_text()) {
    budget.scan(input.text().size());
    value = parse_integer(input.text(), bound.integer(1, 10));
    const std::optional<double> number = value ? std::nullopt : parse_float(input.text());
    if (number) value = whole(*number);
  }
  return value ? Value(*value) : otherwise;
}

Value to_float(std::string_view, const Value& input, const Arguments& arguments, Budget& budget) {
  const Bound bound("float", arguments, {"default"});
  if (input.is_undefined()) throw Fault(input.why());
  std::optional<double> value;
  if (input.is_number()) value = input.number();
  if (input.is_text()) {
    budget.scan(input.text().size());
    value = parse_float(input.text());
  }
  if (value) return Value(*value);
  return bound.get(0) != nullptr ? *bound.get(0) : Value(0.0);
}

Value absolute(std::string_view, const Value& input, const Arguments& arguments, Budget&) {
  const Bound none("abs", arguments, {});
  if (input.is_undefined()) throw Fault(input.why());
  if (!input.is_number())
    throw Fault("bad operand type for abs(): '" + std::string(input.type_name()) + "'");
  if (input.is_integer()) return input.integer() < 0 ? negate(input) : Value(input.integer());
  return Value(std::abs(input.number()));
}

// Python rounds the decimal form, half to even; so does printf.
double round_decimal(double value, int64_t precision) {
  if (precision >= 0) {
    char text[400];
    std::snprintf(text, sizeof text, "%.*f", static_cast<int>(precision), value);
    return std::strtod(text, nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / unit) * unit;
}

Value round(std::string_view, const Value& input, const Arguments& arguments, Budget&) {
  const Bound bound("round", arguments, {"precision", "method"});
  if (input.is_undefined()) throw Fault(input.why());
  if (!input.is_number()) {
    throw Fault("type " + std::string(input.type_name()) + " doesn't define __round__ method");
  }
  const int64_t precision = bound.integer(0, 0);
  const std::string_view method = bound.text(1, "common");
  if (std::abs(precision) > 30) throw Fault("round() takes a precision of -30 to 30");
  if (method != "common" && method != "ceil" && method != "floor") {
    throw Fault("method must be common, ceil or floor");
  }
  if (method == "common" && input.is_integer() && precision >= 0) return Value(input.integer());
  if (std::isnan(input.number()) || std::isinf(input.number())) return input;
  if (method == "common") {
    const double rounded = round_decimal(input.number(), precision);
    return input.is_integer() ? Value(*whole(rounded)) : Value(rounded);
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.number() * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

constexpr NamedFilter kFilters[] = {
    {"int", to_int}, {"float", to_float}, {"abs", absolute}, {"round", round}};

}  // namespace

Filter find_number_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lathe::jinja

#include "data/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "data/jinja/methods.h"
#include "data/jinja/print.h"
#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

std::string_view sign_of(Operator op) {
  switch (op) {
    case Operator::Add:
      return "+";
    case Operator::Subtract:
      return "-";
    case Operator::Multiply:
      return "*";
    case Operator::Divide:
      return "/";
    case Operator::FloorDivide:
      return "//";
    case Operator::Modulo:
      return "%";
    case Operator::Power:
      return "** or pow()";
    default:
      return "?";
  }
}

[[noreturn]] void refuse(Operator op, const Value& a, const Value& b) {
  if (a.is_undefined() || b.is_undefined()) throw Fault(a.is_undefined() ? a.why() : b.why());
  const std::string left(a.type_name()), right(b.type_name());
  if (op == Operator::Add && (a.is_text() || a.is_sequence())) {
    throw Fault("can only concatenate " + left + " (not \"" + right + "\") to " + left);
  }
  throw Fault("unsupported operand type(s) for " + std::string(sign_of(op)) + ": '" + left +
              "' and '" + right + "'");
}

[[noreturn]] void overflow() { throw Fault("an integer leaves 64 bits"); }

int64_t integer_power(int64_t base, int64_t exponent, Budget& budget) {
  int64_t result = 1;
  while (exponent > 0) {
    budget.step();
    if (exponent % 2 == 1 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent /= 2;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t floor_divide(int64_t a, int64_t b) {
  int64_t quotient = 0;
  if (b == -1) {
    if (__builtin_sub_overflow(int64_t{0}, a, &quotient)) overflow();
    return quotient;
  }
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

Value calculate_integers(Operator op, int64_t a, int64_t b, Budget& budget) {
  int64_t result = 0;
  switch (op) {
    case Operator::Add:
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return Value(result);
    case Operator::Subtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return Value(result);
    case Operator::Multiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return Value(result);
    case Operator::FloorDivide:
      if (b == 0) throw Fault("integer division or modulo by zero");
      return Value(floor_divide(a, b));
    case Operator::Modulo:
      if (b == 0) throw Fault("integer modulo by zero");
      return Value(floor_modulo(a, b));
    case Operator::Power:
      if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      return Value(integer_power(a, b, budget));
    default:
      if (b == 0) throw Fault("division by zero");
      return Value(static_cast<double>(a) / static_cast<double>(b));
  }
}

Value calculate_floats(Operator op, double a, double b) {
  if (b == 0 && (op == Operator::Divide || op == Operator::FloorDivide || op == Operator::Modulo)) {
    throw Fault(op == Operator::Divide ? "float division by zero" : "float floor division by zero");
  }
  switch (op) {
    case Operator::Add:
      return Value(a + b);
    case Operator::Subtract:
      return Value(a - b);
    case Operator::Multiply:
      return Value(a * b);
    case Operator::Divide:
      return Value(a / b);
    case Operator::FloorDivide:
      return Value(std::floor(a / b));
    case Operator::Power:
      return Value(std::pow(a, b));
    default: {
      const double rest = std::fmod(a, b);
      return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
  }
}

Value repeat(const Value& value, int64_t times, Budget& budget) {
  const uint64_t count = times < 0 ? 0 : static_cast<uint64_t>(times);
  const uint64_t size =
      value.is_text() ? value.text().size() : value.items().size() * sizeof(Value);
  uint64_t total = 0;
  if (__builtin_mul_overflow(count, size, &total))
    throw Fault("a repetition is too long (limit reached)");
  budget.make(total);
  if (value.is_text()) {
    std::string text;
    text.reserve(total);
    for (uint64_t i = 0; i < count && size > 0; ++i) text += value.text();
    return Value(std::move(text));
  }
  Items items;
  for (uint64_t i = 0; i < count && size > 0; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.kind() == Value::Kind::Tuple ? Value::tuple(std::move(items))
                                            : Value(std::move(items));
}

Value join_sequences(const Value& a, const Value& b, Budget& budget) {
  budget.make((a.items().size() + b.items().size()) * sizeof(Value));
  Items items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.kind() == Value::Kind::Tuple ? Value::tuple(std::move(items)) : Value(std::move(items));
}

// Python's slice.indices(): where to start and how many elements to take.
struct Range {
  int64_t start, step, count;
};

int64_t clamp_index(const Value& index, int64_t size, int64_t otherwise, int64_t low,
                    int64_t high) {
  if (index.is_none()) return otherwise;
  if (index.is_undefined()) throw Fault(index.why());
  if (!index.is_integer()) throw Fault("slice indices must be integers or None");
  int64_t at = index.integer();
  if (at < 0) at = at < -size ? low : at + size;
  return std::clamp(at, low, high);
}

Range slice_range(int64_t size, const Value& start, const Value& stop, const Value& step) {
  int64_t by = 1;
  if (!step.is_none()) {
    if (step.is_undefined()) throw Fault(step.why());
    if (!step.is_integer()) throw Fault("slice indices must be integers or None");
    by = std::max(step.integer(), -INT64_MAX);
  }
  if (by == 0) throw Fault("slice step cannot be zero");
  const int64_t low = by > 0 ? 0 : -1, high = by > 0 ? size : size - 1;
  const int64_t from = clamp_index(start, size, by > 0 ? low : high, low, high);
  const int64_t to = clamp_index(stop, size, by > 0 ? high : low, low, high);
  const int64_t distance = by > 0 ? to - from : from - to;
  const int64_t stride = std::abs(by);
  return {from, by, distance <= 0 ? 0 : (distance - 1) / stride + 1};
}

}  // namespace

Value calculate(Operator op, const Value& a, const Value& b, Budget& budget) {
  if (a.is_integer() && b.is_integer())
    return calculate_integers(op, a.integer(), b.integer(), budget);
  if (a.is_number() && b.is_number()) return calculate_floats(op, a.number(), b.number());
  if (op == Operator::Add && a.is_text() && b.is_text()) {
    budget.make(a.text().size() + b.text().size());
    return Value(a.text() + b.text());
  }
  if (op == Operator::Add && a.is_sequence() && a.kind() == b.kind())
    return join_sequences(a, b, budget);
  if (op == Operator::Multiply) {
    if ((a.is_text() || a.is_sequence()) && b.is_integer()) return repeat(a, b.integer(), budget);
    if ((b.is_text() || b.is_sequence()) && a.is_integer()) return repeat(b, a.integer(), budget);
  }
  if (op == Operator::Modulo && a.is_text() && !b.is_undefined())
    return Value(format_percent(a.text(), b, budget));
  refuse(op, a, b);
}

Value negate(const Value& value) {
  if (value.kind() == Value::Kind::Float) return Value(-value.number());
  if (value.is_undefined()) throw Fault(value.why());
  if (!value.is_integer()) {
    throw Fault("bad operand type for unary -: '" + std::string(value.type_name()) + "'");
  }
  int64_t result = 0;
  if (__builtin_sub_overflow(int64_t{0}, value.integer(), &result)) overflow();
  return Value(result);
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  switch (container.kind()) {
    case Value::Kind::Undefined:
      return false;
    case Value::Kind::Text:
      if (!item.is_text()) {
        throw Fault("'in <string>' requires string as left operand, not " +
                    std::string(item.type_name()));
      }
      budget.scan(container.text().size());
      return find_text(container.text(), item.text()) != std::string_view::npos;
    case Value::Kind::Dict:
      budget.step();
      return container.dict().find(item) != nullptr;
    case Value::Kind::List:
    case Value::Kind::Tuple:
      return std::any_of(container.items().begin(), container.items().end(),
                         [&](const Value& each) { return equal(each, item, budget); });
    default:
      throw Fault("argument of type '" + std::string(container.type_name()) + "' is not iterable");
  }
}

bool compare(Operator op, const Value& a, const Value& b, Budget& budget) {
  switch (op) {
    case Operator::Equal:
      return equal(a, b, budget);
    case Operator::NotEqual:
      return !equal(a, b, budget);
    case Operator::Less:
      return less(a, b, budget, "<");
    case Operator::Greater:
      return less(b, a, budget, ">");
    // Not the negation of the opposite: nan is neither.
    case Operator::LessEqual:
      return less(a, b, budget, "<=") || equal(a, b, budget);
    case Operator::GreaterEqual:
      return less(b, a, budget, ">=") || equal(a, b, budget);
    case Operator::In:
      return contains(b, a, budget);
    default:
      return !contains(b, a, budget);
  }
}

Value subscript(const Value& value, const Value& key, Budget& budget) {
  budget.step();
  if (value.is_undefined()) throw Fault(value.why());
  const bool hashable = !key.is_dict() && key.kind() != Value::Kind::List && !key.is_undefined();
  if (value.is_dict() && hashable) {
    if (const Value* found = value.dict().find(key)) return *found;
  }
  if (key.is_integer() && (value.is_sequence() || value.is_text())) {
    const int64_t size = length(value, budget);
    const int64_t at = key.integer() < 0 ? key.integer() + size : key.integer();
    if (at >= 0 && at < size) {
      if (value.is_sequence()) return value.items()[static_cast<size_t>(at)];
      return slice(value, Value(at), Value(at + 1), Value(), budget);
    }
  }
  if (key.is_text()) return attribute(value, key.text(), AttributeOrder::MethodsOnly, budget);
  return Value::undefined(object_name(value) + " has no element " + repr(key, budget));
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Budget& budget) {
  if (value.is_undefined()) throw Fault(value.why());
  if (!value.is_text() && !value.is_sequence()) {
    return Value::undefined(object_name(value) + " has no element slice");
  }
  const Range range = slice_range(length(value, budget), start, stop, step);
  if (value.is_text()) {
    // One pass finds where each character begins.
    budget.make(value.text().size());
    const std::vector<std::string_view> all = characters(value.text());
    std::string text;
    for (int64_t i = 0, at = range.start; i < range.count;
         ++i, at += i < range.count ? range.step : 0) {
      text += all[static_cast<size_t>(at)];
    }
    budget.make(text.size());
    return Value(std::move(text));
  }
  budget.make(static_cast<uint64_t>(range.count) * sizeof(Value));
  budget.step(static_cast<uint64_t>(range.count) / 8);
  Items items;
  items.reserve(static_cast<size_t>(range.count));
  for (int64_t i = 0, at = range.start; i < range.count;
       ++i, at += i < range.count ? range.step : 0) {
    items.push_back(value.items()[static_cast<size_t>(at)]);
  }
  return value.kind() == Value::Kind::Tuple ? Value::tuple(std::move(items))
                                            : Value(std::move(items));
}

int64_t length(const Value& value, Budget& budget) {
  switch (value.kind()) {
    case Value::Kind::Undefined:
      return 0;
    case Value::Kind::Text:
      budget.scan(value.text().size());
      return static_cast<int64_t>(count_characters(value.text()));
    case Value::Kind::List:
    case Value::Kind::Tuple:
      return static_cast<int64_t>(value.items().size());
    case Value::Kind::Dict:
      return static_cast<int64_t>(value.dict().size());
    case Value::Kind::Loop:
      return static_cast<int64_t>(value.loop().list.items().size());
    default:
      throw Fault("object of type '" + std::string(value.type_name()) + "' has no len()");
  }
}

}  // namespace lathe::jinja

#pragma once

#include <string_view>

#include "data/jinja/value.h"

// Python's operators on values. All throw Fault for operands that do not fit, with Python's
// message.
namespace lathe::jinja {

enum class Operator {
  Add,
  Subtract,
  Multiply,
  Divide,
  FloorDivide,
  Modulo,
  Power,
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
  In,
  NotIn
};

// The first row. Integers that leave 64 bits are a Fault: templates do not need Python's long ones.
Value calculate(Operator op, const Value& a, const Value& b, Budget& budget);
Value negate(const Value& value);
// The second row.
bool compare(Operator op, const Value& a, const Value& b, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

// value[key]; Undefined where there is no such element, as in Jinja.
Value subscript(const Value& value, const Value& key, Budget& budget);
// value[start:stop:step]; None stands for a part left out.
Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Budget& budget);
int64_t length(const Value& value, Budget& budget);

}  // namespace lathe::jinja

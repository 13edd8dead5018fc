#pragma once

#include <string>
#include <string_view>

#include "data/jinja/arguments.h"

// Attributes and methods of values.
namespace lathe::jinja {

// value.name looks for methods before elements, value['name'] the other way round.
enum class AttributeOrder { MethodsFirst, MethodsOnly };
// Undefined where there is none, and for the methods that would change a value: the sandbox refuses
// those.
Value attribute(const Value& value, std::string_view name, AttributeOrder order, Budget& budget);

Value call_method(const Function& method, const Arguments& arguments, Budget& budget);

// "'dict object'", as messages about missing attributes name values.
std::string object_name(const Value& value);

}  // namespace lathe::jinja

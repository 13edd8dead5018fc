#pragma once

#include <nlohmann/json_fwd.hpp>

#include "data/jinja/value.h"

// JSON <-> values of a template.
namespace lathe::jinja {

// Throws Fault for what is nested more than 100 deep and for integers that do not fit in 64 bits
// signed.
Value from_json(const nlohmann::ordered_json& json);
// Throws Fault for what has no JSON form (Undefined, functions). Keys become strings.
nlohmann::ordered_json to_ordered_json(const Value& value, Budget& budget);

}  // namespace lathe::jinja

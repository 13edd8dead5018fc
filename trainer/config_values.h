#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/config_yaml.h"

// One value of a config: from a YAML node into the field, under the field's rule.
namespace lathe {

// "true", "yes", "on" and their opposites, as YAML 1.1 spells them. Not one of them: no value.
enum class Truth { kNone, kFalse, kTrue };
Truth truth_of(const std::string& text);

// "`fast` (text)", "a list", "nothing".
std::string describe(const YamlNode& node);
// "a number", "one of adamw, sgd", ...
std::string expected(const Field& field);

// Fills the field or throws "place: key: found ..., expected ...". Notes get what was translated
// inside of lists.
void set_value(Field& field, const YamlNode& node, const YamlSource& source,
               std::vector<std::string>& notes);

// Shortest text that reads back to the same number, with a decimal point, for YAML readers that
// insist on one.
std::string number_text(double value);

}  // namespace lathe

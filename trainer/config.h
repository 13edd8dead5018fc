#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <variant>
#include <vector>

// YAML and key=value overrides -> typed structs, through ONE field list per struct. The list stands beside the struct:
//
//   struct OptimizerConfig { double learning_rate = 2e-5; ... };
//   template <class V> void fields(V& v, OptimizerConfig& c) {
//     v("learning_rate", c.learning_rate, "peak learning rate", at_least(0));
//   }
//
// and gives parsing, defaults, checks, --help, the resolved dump, and the JSON Schema. A struct inside a struct is a
// section: v("optimizer", c.optimizer, "how weights are updated"). Leaf names that are unique may be written without
// their section. Field types: bool, int64_t, double, std::string, std::vector<std::string>, a struct (section), and
// std::vector<struct> (a list of maps; a plain string stands for a map with its first field).
//
// Every fault is std::invalid_argument: "file:line:column: key: found ..., expected ...; did you mean ...".
namespace lathe {

// What a value must satisfy besides its type.
struct Rule {
  std::vector<std::string> choices = {};
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false;
  bool required = false;  // the user must give it
};
inline Rule one_of(std::initializer_list<std::string> choices) { return {.choices = choices}; }
inline Rule at_least(double min) { return {.min = min}; }
inline Rule above(double min) { return {.min = min, .min_excluded = true}; }
inline Rule between(double min, double max) { return {.min = min, .max = max}; }
inline Rule required() { return {.required = true}; }

// One leaf of a config struct, type-erased: what config.cpp works on. `section` is "" at the top, else "optimizer" etc.
struct ListOfStructs;  // see config_fields.h
struct Field {
  std::string section, name, help;
  Rule rule;
  std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*, ListOfStructs*> value;
};

}  // namespace lathe

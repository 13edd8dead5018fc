#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// YAML and key=value overrides -> typed structs, through ONE field list per struct. The list stands
// beside the struct:
//
//   struct OptimizerConfig { double learning_rate = 2e-5; ... };
//   template <class V> void fields(V& v, OptimizerConfig& c) {
//     v("learning_rate", c.learning_rate, "peak learning rate", at_least(0));
//   }
//
// and gives parsing, defaults, checks, help, the resolved dump and the JSON Schema. A struct inside
// a struct is a section: v("optimizer", c.optimizer, "how weights are updated"). A leaf name that
// only one section has may be written without its section. Every fault of the user is
// std::invalid_argument: "file:line:column: key: found ..., expected ...".
namespace lathe {

// What a value must satisfy besides its type.
struct Rule {
  std::vector<std::string> choices = {};
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false;
  bool required =
      false;  // the user must give it (in a section that may be absent: if the section is given)
  bool optional =
      false;  // of a section: whether it is given at all has a meaning; ResolvedConfig::given tells
  // Of a section: it has a meaning only where the text at the top of this name has one of these
  // values (recipe: dpo). Else it is neither checked nor shown, unless it is given.
  std::string owner_key = {};
  std::vector<std::string> owners = {};
};
inline Rule one_of(std::initializer_list<std::string> choices) { return {.choices = choices}; }
inline Rule at_least(double min) { return {.min = min}; }
inline Rule above(double min) { return {.min = min, .min_excluded = true}; }
inline Rule between(double min, double max) { return {.min = min, .max = max}; }
inline Rule required(Rule rule = {}) {
  rule.required = true;
  return rule;
}
inline Rule may_be_absent() { return {.optional = true}; }
inline Rule belongs_to(std::string key, std::vector<std::string> values) {
  return {.owner_key = std::move(key), .owners = std::move(values)};
}

struct Field;

// A std::vector of structs, whatever the struct. In YAML a list of maps; a plain string stands for
// a map with the first field set, and one map or string for a list of one.
struct ListOfStructs {
  std::function<size_t()> size;
  std::function<void(size_t)> resize;
  std::function<std::vector<Field>(size_t)> fields;  // of element i
};

// Names that the user chooses, each with a text: columns: {prompt: question}.
using TextMap = std::map<std::string, std::string>;

// One leaf. `section` is "" at the top.
struct Field {
  std::string section, name, help;
  Rule rule;
  std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*, TextMap*,
               ListOfStructs>
      value;

  std::string key() const { return section.empty() ? name : section + "." + name; }
};

// Values that do not go together. Keys are those of the struct that says so. To have a struct
// checked after it is read, put beside it: std::vector<Conflict> conflicts(const OptimizerConfig&
// config).
struct Conflict {
  std::vector<std::string> keys;
  std::string reason;  // "4096 is more than model.max_length 2048; lower it"
};

struct Section {
  std::string name, help;
  bool optional = false;
  std::string owner_key = {};
  std::vector<std::string> owners = {};
  std::function<std::vector<Conflict>()> conflicts = {};
};

// All of a config: its sections (the first is the top, with the name "") and its leaves, both in
// the order of the lists.
struct FieldList {
  std::vector<Section> sections;
  std::vector<Field> leaves;

  // Whether the section has a meaning, as its owner stands now.
  bool is_active(const Section& section) const;
};

// The visitor that makes a FieldList. The list points into the struct that was visited.
class FieldCollector {
 public:
  template <class S>
  static FieldList collect(S& config) {
    FieldList list;
    FieldCollector(list, "").add_section("", config, "", {});
    return list;
  }

  template <class S>
  void operator()(const std::string& name, S& value, const std::string& help, Rule rule = {}) {
    if constexpr (std::is_same_v<S, bool> || std::is_same_v<S, int64_t> ||
                  std::is_same_v<S, double> || std::is_same_v<S, std::string> ||
                  std::is_same_v<S, std::vector<std::string>> || std::is_same_v<S, TextMap>) {
      list_.leaves.push_back({section_, name, help, std::move(rule), &value});
    } else if constexpr (requires {
                           typename S::value_type;
                           value.resize(1);
                         }) {
      list_.leaves.push_back({section_, name, help, std::move(rule), list_of(value)});
    } else {
      static_assert(
          std::is_class_v<S>,
          "a config field is bool, int64_t, double, string, a list, a map of texts or a struct");
      if (!section_.empty())
        throw std::logic_error("config: section " + name + " is inside of " + section_);
      add_section(name, value, help, rule);
    }
  }

 private:
  FieldCollector(FieldList& list, std::string section)
      : list_(list), section_(std::move(section)) {}

  template <class S>
  void add_section(const std::string& name, S& value, const std::string& help, const Rule& rule) {
    Section section{name, help, rule.optional, rule.owner_key, rule.owners};
    if constexpr (requires { conflicts(std::as_const(value)); }) {
      section.conflicts = [&value] { return conflicts(std::as_const(value)); };
    }
    list_.sections.push_back(std::move(section));
    FieldCollector inner(list_, name);
    fields(inner, value);
  }

  template <class S>
  static ListOfStructs list_of(std::vector<S>& values) {
    return {[&values] { return values.size(); }, [&values](size_t size) { values.resize(size); },
            [&values](size_t i) { return collect(values.at(i)).leaves; }};
  }

  FieldList& list_;
  std::string section_;
};

struct ConfigSource {
  std::string path;  // of the YAML file; "": none
  std::vector<std::string>
      overrides;  // key=value; they win over the file, later ones over earlier ones
};

// What is known of a config besides its values.
class ResolvedConfig {
 public:
  std::string dump;  // YAML of all values, each with its source; reads back to the same values
  std::vector<std::string> notes;  // one line per key or value of another tool that was translated

  // Did the user give this key (or anything of this section)? A leaf may be named without its
  // section.
  bool given(const std::string& key) const;
  // "run.yaml:12:3", "command line: seed=1", or "default".
  std::string where(const std::string& key) const;
  // The error for values that do not go together: where each was given, and why not.
  std::invalid_argument conflict(const Conflict& conflict) const;

  struct Origin {
    std::string written;  // the key as the user spelled it
    std::string place;    // for messages
    std::string comment;  // for the dump
    bool from_command_line = false;
  };
  std::map<std::string, Origin> origins;  // of what was given, by full key or name of section
  std::vector<std::string> keys;          // all full keys and names of sections
};

ResolvedConfig read_fields(const ConfigSource& source, FieldList list);
ResolvedConfig read_yaml_text(const std::string& text, const std::string& name,
                              const std::vector<std::string>& overrides, FieldList list);
std::string fields_help(FieldList list);
std::string fields_schema(FieldList list, const std::string& title);

// Fills the struct; what is not given keeps its value.
template <class T>
ResolvedConfig read_config(const ConfigSource& source, T& config) {
  return read_fields(source, FieldCollector::collect(config));
}

// All keys by section, with type, default, limits and meaning.
template <class T>
std::string config_help() {
  T config{};
  return fields_help(FieldCollector::collect(config));
}

// JSON Schema (draft 2020-12) for editors.
template <class T>
std::string json_schema(const std::string& title = "lathe") {
  T config{};
  return fields_schema(FieldCollector::collect(config), title);
}

}  // namespace lathe

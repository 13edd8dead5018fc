#include "trainer/config_print.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "trainer/config_values.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

// Plain where no YAML reader could take it for something else, else in double quotes.
std::string yaml_text(const std::string& text) {
  const auto is_letter = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  static constexpr std::array kSpecial = {"null", "Null", "NULL", "True", "TRUE", "False", "FALSE"};
  const bool plain =
      !text.empty() && (is_letter(text[0]) || text[0] == '/') &&
      std::all_of(text.begin(), text.end(),
                  [&](char c) { return is_letter(c) || c == '/' || c == '.' || c == '-'; }) &&
      std::find(kSpecial.begin(), kSpecial.end(), text) == kSpecial.end();
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      quoted += {'\\', 'x', kHex[(c >> 4) & 15], kHex[c & 15]};
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string yaml_value(const Field& field);

std::string yaml_element(const std::vector<Field>& fields) {
  std::string text;
  for (const Field& field : fields)
    text += (text.empty() ? "" : ", ") + field.name + ": " + yaml_value(field);
  return "{" + text + "}";
}

std::string yaml_value(const Field& field) {
  struct Printer {
    std::string operator()(bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(int64_t* value) const { return std::to_string(*value); }
    std::string operator()(double* value) const { return number_text(*value); }
    std::string operator()(std::string* value) const { return yaml_text(*value); }
    std::string operator()(std::vector<std::string>* value) const {
      std::string text;
      for (const std::string& item : *value) text += (text.empty() ? "" : ", ") + yaml_text(item);
      return "[" + text + "]";
    }
    std::string operator()(TextMap* value) const {
      std::string text;
      for (const auto& [name, item] : *value)
        text += (text.empty() ? "" : ", ") + yaml_text(name) + ": " + yaml_text(item);
      return "{" + text + "}";
    }
    std::string operator()(const ListOfStructs& list) const {
      std::string text;
      for (size_t i = 0; i < list.size(); ++i)
        text += (text.empty() ? "" : ", ") + yaml_element(list.fields(i));
      return "[" + text + "]";
    }
  };
  return std::visit(Printer{}, field.value);
}

// A list of structs one element a line, anything else on the line of its key.
std::string dump_field(const Field& field, const std::string& indent, const std::string& comment) {
  const auto* list = std::get_if<ListOfStructs>(&field.value);
  if (!list || list->size() == 0)
    return indent + field.name + ": " + yaml_value(field) + "  # " + comment + "\n";
  std::string text = indent + field.name + ":  # " + comment + "\n";
  for (size_t i = 0; i < list->size(); ++i)
    text += indent + "  - " + yaml_element(list->fields(i)) + "\n";
  return text;
}

std::string comment_of(const ResolvedConfig& resolved, const std::string& key) {
  const auto origin = resolved.origins.find(key);
  std::string comment = origin == resolved.origins.end() ? "default" : origin->second.comment;
  for (char& c : comment) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';  // a path can hold a line break
  }
  return comment;
}

bool is_unique(const FieldList& list, const std::string& name) {
  const auto same = [&](const Field& field) { return field.name == name; };
  const auto same_section = [&](const Section& section) { return section.name == name; };
  return std::count_if(list.leaves.begin(), list.leaves.end(), same) == 1 &&
         std::none_of(list.sections.begin(), list.sections.end(), same_section);
}

// A list of structs with one default element, to look at its fields.
std::vector<Field> element_fields(const ListOfStructs& list) {
  if (list.size() == 0) list.resize(1);
  return list.fields(0);
}

void help_field(std::string& text, const Field& field, const std::string& indent) {
  const auto* list = std::get_if<ListOfStructs>(&field.value);
  std::string limits = expected(field);
  const bool has_default = !field.rule.required && !list;
  text += indent + field.name + "  (" + (list ? "a text, a map, or a list of maps" : limits) +
          (has_default ? "; default " + yaml_value(field) : "") +
          (field.rule.required ? "; required" : "") + ")\n" + indent + "    " + field.help + "\n";
  if (!list) return;
  for (const Field& inner : element_fields(*list)) help_field(text, inner, indent + "    ");
}

Json field_schema(const Field& field);

Json with_choices(const Rule& rule) {
  if (rule.choices.empty()) return {{"type", {"string", "boolean", "number"}}};
  Json allowed = Json::array();
  for (const std::string& choice : rule.choices) {
    allowed.push_back(choice);
    if (choice == "true" || choice == "false") allowed.push_back(choice == "true");
  }
  return {{"enum", allowed}};
}

Json number_schema(const char* type, const Rule& rule) {
  Json schema{{"type", type}};
  if (std::isfinite(rule.min))
    schema[rule.min_excluded ? "exclusiveMinimum" : "minimum"] = rule.min;
  if (std::isfinite(rule.max)) schema["maximum"] = rule.max;
  return schema;
}

Json any_of_one_or_many(const Json& one) {
  return {{"anyOf", {one, {{"type", "array"}, {"items", one}}}}};
}

Json element_schema(const ListOfStructs& list) {
  Json properties = Json::object();
  for (const Field& inner : element_fields(list)) properties[inner.name] = field_schema(inner);
  Json map{{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
  return {{"anyOf", {{{"type", "string"}}, map}}};
}

struct SchemaOf {
  const Rule& rule;

  Json operator()(bool* value) const { return {{"type", "boolean"}, {"default", *value}}; }
  Json operator()(int64_t* value) const {
    return with_default(number_schema("integer", rule), *value);
  }
  Json operator()(double* value) const {
    return with_default(number_schema("number", rule), *value);
  }
  Json operator()(std::string* value) const { return with_default(with_choices(rule), *value); }
  Json operator()(std::vector<std::string>* value) const {
    return with_default(any_of_one_or_many(with_choices(rule)), *value);
  }
  Json operator()(TextMap* value) const {
    const Json text{{"type", {"string", "boolean", "number"}}};
    return with_default(Json{{"type", "object"}, {"additionalProperties", text}}, *value);
  }
  Json operator()(const ListOfStructs& list) const {
    return any_of_one_or_many(element_schema(list));
  }

  template <class T>
  Json with_default(Json schema, const T& value) const {
    if (!rule.required) schema["default"] = value;
    return schema;
  }
};

Json field_schema(const Field& field) {
  Json schema{{"description", field.help}};
  schema.update(std::visit(SchemaOf{field.rule}, field.value));
  return schema;
}

}  // namespace

std::string dump_fields(const FieldList& list, const ResolvedConfig& resolved) {
  std::string text;
  for (const Section& section : list.sections) {
    const std::string& name = section.name;
    if (section.optional && !resolved.origins.contains(name)) {
      text += "# " + name + ": not given\n";  // writing its defaults would give it
      continue;
    }
    if (!list.is_active(section) && !resolved.origins.contains(name)) continue;
    std::string leaves;
    for (const Field& field : list.leaves) {
      if (field.section != name) continue;
      leaves += dump_field(field, name.empty() ? "" : "  ", comment_of(resolved, field.key()));
    }
    text += (name.empty() ? "" : name + ":\n") + leaves;
  }
  return text;
}

std::string help_fields(const FieldList& list) {
  std::string text;
  for (const Section& section : list.sections) {
    if (!section.name.empty()) text += "\n" + section.name + ": " + section.help + "\n";
    for (const Field& field : list.leaves) {
      if (field.section == section.name) help_field(text, field, section.name.empty() ? "" : "  ");
    }
  }
  return text;
}

std::string schema_fields(const FieldList& list, const std::string& title) {
  Json properties = Json::object();
  for (const Section& section : list.sections) {
    Json inner = Json::object();
    for (const Field& field : list.leaves) {
      if (field.section == section.name) inner[field.name] = field_schema(field);
    }
    if (section.name.empty()) {
      properties.update(inner);
    } else {
      properties[section.name] = {{"description", section.help},
                                  {"type", {"object", "null"}},
                                  {"additionalProperties", false},
                                  {"properties", inner}};
    }
  }
  for (const Field& field : list.leaves) {
    if (field.section.empty() || !is_unique(list, field.name)) continue;
    properties[field.name] = {
        {"$ref", "#/properties/" + field.section + "/properties/" + field.name}};
  }
  const Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", title},
                    {"type", "object"},
                    {"additionalProperties", false},
                    {"properties", properties}};
  return schema.dump(2) + "\n";
}

}  // namespace lathe

#include "trainer/config_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "trainer/config_aliases.h"
#include "trainer/nearest.h"

namespace lathe {
namespace {

enum class NumberFault { kNone, kNotANumber, kTooLarge, kUnderscore, kNotFinite };

template <class T>
NumberFault read_number(std::string text, T& value) {
  if (text.find('_') != std::string::npos) {
    std::erase(text, '_');
    return read_number(text, value) == NumberFault::kNone ? NumberFault::kUnderscore
                                                          : NumberFault::kNotANumber;
  }
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  const char* begin = text.data() + (plus ? 1 : 0);
  const char* end = text.data() + text.size();
  T read{};
  const auto [stop, fault] = std::from_chars(begin, end, read);
  if (fault == std::errc::invalid_argument || stop != end) return NumberFault::kNotANumber;
  if (fault == std::errc::result_out_of_range) return NumberFault::kTooLarge;
  if constexpr (std::is_same_v<T, double>) {
    if (!std::isfinite(read)) return NumberFault::kNotFinite;
  }
  value = read;
  return NumberFault::kNone;
}

bool is_dotted_not_finite(
    std::string text) {  // YAML's own spelling of what from_chars calls inf and nan
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (text.starts_with('+') || text.starts_with('-')) text.erase(0, 1);
  return text == ".inf" || text == ".nan";
}

std::string explain(NumberFault fault) {
  switch (fault) {
    case NumberFault::kTooLarge:
      return ", which does not fit";
    case NumberFault::kUnderscore:
      return "; write it without `_`";
    case NumberFault::kNotFinite:
      return ", which is not finite";
    default:
      return "";
  }
}

// What the setters below share: where they are, for the messages.
struct Setter {
  Field& field;
  const YamlNode& node;
  const YamlSource& source;
  std::vector<std::string>& notes;

  std::invalid_argument error(const std::string& what) const {
    return source.error(node.mark, field.key() + ": " + what);
  }
  std::invalid_argument mismatch(const std::string& remark = "") const {
    return error("found " + describe(node) + ", expected " + expected(field) + remark);
  }
  bool is_plain_scalar() const { return node.kind == YamlNode::Kind::kScalar && !node.quoted; }

  void check_limits(double value) const {
    const Rule& rule = field.rule;
    const bool too_small = rule.min_excluded ? !(value > rule.min) : value < rule.min;
    if (too_small || value > rule.max) throw mismatch();
  }

  void operator()(bool* value) const {
    const Truth truth = is_plain_scalar() ? truth_of(node.text) : Truth::kNone;
    if (truth == Truth::kNone) throw mismatch();
    *value = truth == Truth::kTrue;
  }

  template <class T>
  void set_number(T* value) const {
    if (!is_plain_scalar()) throw mismatch();
    T read{};
    NumberFault fault = read_number(node.text, read);
    if (is_dotted_not_finite(node.text)) fault = NumberFault::kNotFinite;
    if (fault != NumberFault::kNone) throw mismatch(explain(fault));
    check_limits(static_cast<double>(read));
    *value = read;
  }
  void operator()(int64_t* value) const { set_number(value); }
  void operator()(double* value) const { set_number(value); }

  // A word like `true` may stand for itself where text is expected: packing is true, false or
  // wrapped.
  std::string text_of(const YamlNode& scalar) const {
    if (scalar.quoted) return scalar.text;
    const Truth truth = truth_of(scalar.text);
    if (truth == Truth::kNone) return scalar.text;
    const std::string word = truth == Truth::kTrue ? "true" : "false";
    const auto& choices = field.rule.choices;
    if (std::find(choices.begin(), choices.end(), word) != choices.end()) return word;
    const bool spells_it =
        scalar.text.size() == word.size();  // True, FALSE; but `yes` may be a name
    return spells_it ? word : scalar.text;
  }

  void operator()(std::string* value) const {
    if (node.kind != YamlNode::Kind::kScalar) throw mismatch();
    const std::string text = text_of(node);
    check_choice(text);
    *value = text;
  }

  void check_choice(const std::string& text) const {
    const auto& choices = field.rule.choices;
    if (choices.empty() || std::find(choices.begin(), choices.end(), text) != choices.end()) return;
    throw mismatch(did_you_mean(text, choices));
  }

  void operator()(std::vector<std::string>* value) const {
    std::vector<std::string> texts;
    for (const YamlNode& item : is_plain_scalar() ? split_at_commas() : items()) {
      if (item.kind != YamlNode::Kind::kScalar) throw at_item(item).mismatch();
      texts.push_back(text_of(item));
      at_item(item).check_choice(texts.back());
    }
    *value = std::move(texts);
  }

  void operator()(TextMap* value) const {
    if (node.kind != YamlNode::Kind::kMap) throw mismatch();
    TextMap texts;
    for (size_t i = 0; i < node.items.size(); ++i) {
      const Setter entry = at_item(node.items[i]);
      if (entry.node.kind != YamlNode::Kind::kScalar)
        throw entry.error("found " + describe(entry.node) + " for `" + excerpt(node.keys[i].text) +
                          "`, expected text");
      texts[node.keys[i].text] = text_of(entry.node);
    }
    *value = std::move(texts);
  }

  void operator()(ListOfStructs& list) const {
    const std::vector<YamlNode> nodes = items();
    list.resize(0);  // so that what is not given in an element has its default
    list.resize(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) set_element(list.fields(i), nodes[i]);
  }

 private:
  Setter at_item(const YamlNode& item) const { return {field, item, source, notes}; }

  // One thing stands for a list of one.
  std::vector<YamlNode> items() const {
    if (node.kind == YamlNode::Kind::kList) return node.items;
    return {node};
  }

  // lora_target_modules=q_proj,v_proj
  std::vector<YamlNode> split_at_commas() const {
    std::vector<YamlNode> parts;
    for (size_t begin = 0; begin <= node.text.size();) {
      const size_t end = std::min(node.text.find(',', begin), node.text.size());
      YamlNode part = node;
      part.text = node.text.substr(begin, end - begin);
      part.text.erase(0, part.text.find_first_not_of(' '));
      part.text.erase(part.text.find_last_not_of(' ') + 1);
      if (part.text.empty()) throw mismatch("; a text is missing between commas");
      parts.push_back(std::move(part));
      begin = end + 1;
    }
    return parts;
  }

  void set_element(std::vector<Field> fields, const YamlNode& element) const {
    for (Field& inner : fields) inner.section = field.key();
    if (element.kind == YamlNode::Kind::kScalar) {
      set_value(fields.at(0), element, source, notes);
      check_required(fields, {fields.at(0).name}, element);
      return;
    }
    if (element.kind != YamlNode::Kind::kMap) throw at_item(element).mismatch();
    std::set<std::string> given;
    for (size_t i = 0; i < element.items.size(); ++i)
      set_entry(fields, element.keys[i], element.items[i], given);
    check_required(fields, given, element);
  }

  void set_entry(std::vector<Field>& fields, const YamlNode::Key& key, const YamlNode& value,
                 std::set<std::string>& given) const {
    const auto find = [&](std::string_view name) {
      return std::find_if(fields.begin(), fields.end(),
                          [&](const Field& f) { return f.name == name; });
    };
    auto target = find(key.text);
    if (target == fields.end()) {
      const std::string path = field.key() + "[]." + key.text;
      const Alias* alias = find_alias(path, value.text);
      if (alias && alias->kind == Alias::Kind::kDrop) {
        notes.push_back(drop_note(*alias, source.line(key.mark)));
        return;
      }
      if (alias && alias->kind == Alias::Kind::kRename) target = find(alias->to);
      if (target == fields.end()) {
        std::vector<std::string> names;
        for (const Field& f : fields) names.push_back(f.name);
        throw source.error(key.mark, "unknown key `" + excerpt(key.text) + "` in " + field.key() +
                                         did_you_mean(key.text, names));
      }
      notes.push_back(source.line(key.mark) + ": " + path + " -> " + target->name);
    }
    if (!given.insert(target->name).second) {
      throw source.error(key.mark, field.key() + ": `" + target->name + "` is given twice");
    }
    set_value(*target, value, source, notes);
  }

  void check_required(const std::vector<Field>& fields, const std::set<std::string>& given,
                      const YamlNode& element) const {
    for (const Field& inner : fields) {
      if (inner.rule.required && !given.contains(inner.name)) {
        throw source.error(element.mark, inner.key() + " is missing: " + inner.help);
      }
    }
  }
};

std::string join(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

// " of at least 0" or "".
std::string limits(const Rule& rule) {
  const bool has_min = std::isfinite(rule.min), has_max = std::isfinite(rule.max);
  const auto show = [](double limit) {
    const std::string text = number_text(limit);
    return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
  };
  if (has_min && has_max) {
    return rule.min_excluded ? " above " + show(rule.min) + " and at most " + show(rule.max)
                             : " from " + show(rule.min) + " to " + show(rule.max);
  }
  if (has_min) return (rule.min_excluded ? " above " : " of at least ") + show(rule.min);
  if (has_max) return " of at most " + show(rule.max);
  return "";
}

std::string kind_of(const YamlNode& scalar) {
  if (scalar.quoted) return "quoted text";
  if (truth_of(scalar.text) != Truth::kNone) return "true or false";
  int64_t whole = 0;
  double number = 0;
  if (read_number(scalar.text, whole) == NumberFault::kNone) return "whole number";
  const NumberFault fault = read_number(scalar.text, number);
  return fault == NumberFault::kNotANumber && !is_dotted_not_finite(scalar.text) ? "text"
                                                                                 : "number";
}

}  // namespace

Truth truth_of(const std::string& text) {
  static constexpr std::array kTrue = {"true", "True", "TRUE", "yes", "Yes",
                                       "YES",  "on",   "On",   "ON"};
  static constexpr std::array kFalse = {"false", "False", "FALSE", "no", "No",
                                        "NO",    "off",   "Off",   "OFF"};
  if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return Truth::kTrue;
  if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return Truth::kFalse;
  return Truth::kNone;
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  return std::string("`").append(excerpt(node.text)) + "` (" + kind_of(node) + ")";
}

std::string expected(const Field& field) {
  const Rule& rule = field.rule;
  struct Namer {
    const Rule& rule;
    std::string operator()(bool*) const { return "true or false"; }
    std::string operator()(int64_t*) const { return "a whole number" + limits(rule); }
    std::string operator()(double*) const { return "a number" + limits(rule); }
    std::string operator()(std::string*) const {
      return rule.choices.empty() ? "text" : "one of " + join(rule.choices);
    }
    std::string operator()(std::vector<std::string>*) const {
      return rule.choices.empty() ? "a list of texts" : "a list of " + join(rule.choices);
    }
    std::string operator()(TextMap*) const { return "a map of texts"; }
    std::string operator()(const ListOfStructs&) const {
      return "a text, a map, or a list of them";
    }
  };
  return std::visit(Namer{rule}, field.value);
}

void set_value(Field& field, const YamlNode& node, const YamlSource& source,
               std::vector<std::string>& notes) {
  const Setter setter{field, node, source, notes};
  if (node.kind == YamlNode::Kind::kNull) {
    throw setter.error("the value is missing, expected " + expected(field));
  }
  std::visit(setter, field.value);
}

std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto [end, fault] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), end);
  if (text.find('.') == std::string::npos) {
    text.insert(std::min(text.find('e'), text.size()), ".0");
  }
  return text;
}

}  // namespace lathe

#include "trainer/config.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>

#include "trainer/config_aliases.h"
#include "trainer/config_print.h"
#include "trainer/config_values.h"
#include "trainer/config_yaml.h"
#include "trainer/nearest.h"

namespace lathe {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

std::string code(const std::string& text) { return std::string("`").append(excerpt(text)) + "`"; }

// Takes one source after another, and finds for each key as it is written the field that it means.
class Resolver {
 public:
  explicit Resolver(FieldList& list) : list_(list) {
    for (const Section& section : list_.sections) {
      if (!section.name.empty()) result_.keys.push_back(section.name);
    }
    for (const Field& field : list_.leaves) result_.keys.push_back(field.key());
  }

  void take_root(const YamlNode& root, const YamlSource& source) {
    if (root.kind == YamlNode::Kind::kNull) return;
    if (root.kind != YamlNode::Kind::kMap) {
      throw source.error(root.mark, "found " + describe(root) + ", expected `key: value` lines");
    }
    for (size_t i = 0; i < root.items.size(); ++i)
      take({root.keys[i].text, root.keys[i].mark, root.items[i], source});
  }

  void take_override(const std::string& text) {
    const YamlSource source{text, true};
    check_text(text, source);
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw std::invalid_argument("command line: found " + code(text) + ", expected key=value");
    }
    take({text.substr(0, equals), {}, override_value(text.substr(equals + 1), source), source});
  }

  ResolvedConfig finish(const std::string& name) {
    check_required(name);
    check_conflicts();
    result_.dump = dump_fields(list_, result_);
    return std::move(result_);
  }

 private:
  struct Entry {
    std::string written;  // dotted
    YamlMark mark;        // of the key
    const YamlNode& value;
    const YamlSource& source;
  };

  // Lists, maps and quoted texts as in YAML; anything else is the value itself, whatever it holds.
  static YamlNode override_value(const std::string& text, const YamlSource& source) {
    if (!text.empty() && std::string("[{\"'").find(text[0]) != std::string::npos)
      return parse_yaml(text, source);
    if (text.empty() || text == "null" || text == "~") return {};
    return {.kind = YamlNode::Kind::kScalar, .text = text};
  }

  void take(const Entry& entry) {
    // First: a section may have the name of a leaf of another (`train:` and `data.train`).
    const bool is_section = find_section(entry.written) != nullptr;
    const bool opens =
        entry.value.kind == YamlNode::Kind::kMap || entry.value.kind == YamlNode::Kind::kNull;
    if (is_section && opens) {
      give_section(entry.written, entry);
      take_below(entry);
      return;
    }
    if (Field* field = find(entry)) {
      set(*field, entry);
      return;
    }
    // A group of another program that is no section here.
    if (entry.value.kind == YamlNode::Kind::kMap && has_alias_below(entry.written)) {
      take_below(entry);
      return;
    }
    if (const Alias* alias = alias_for(entry)) {
      apply(*alias, entry);
      return;
    }
    if (is_section) {
      throw entry.source.error(entry.value.mark, entry.written + ": found " +
                                                     describe(entry.value) +
                                                     ", expected a section: `" + entry.written +
                                                     ":` and its keys below it");
    }
    throw unknown(entry);
  }

  void take_below(const Entry& entry) {
    for (size_t i = 0; i < entry.value.items.size(); ++i) {
      const YamlNode::Key& key = entry.value.keys[i];
      take({entry.written + "." + key.text, key.mark, entry.value.items[i], entry.source});
    }
  }

  const Section* find_section(const std::string& name) const {
    if (name.empty()) return nullptr;
    const auto found = std::find_if(list_.sections.begin(), list_.sections.end(),
                                    [&](const Section& section) { return section.name == name; });
    return found == list_.sections.end() ? nullptr : &*found;
  }

  bool is_idle(const std::string& name) const {
    const Section* section = find_section(name);
    return section && !list_.is_active(*section);
  }

  // Asked for, or there whether it is asked for or not.
  bool counts(const Section& section) const {
    if (result_.origins.contains(section.name)) return true;
    return !section.optional && list_.is_active(section);
  }

  Field* find_exact(const std::string& key) {
    const auto found = std::find_if(list_.leaves.begin(), list_.leaves.end(),
                                    [&](const Field& field) { return field.key() == key; });
    return found == list_.leaves.end() ? nullptr : &*found;
  }

  std::vector<Field*> find_all(const std::string& name) {
    std::vector<Field*> all;
    for (Field& field : list_.leaves) {
      if (field.name == name) all.push_back(&field);
    }
    return all;
  }

  Field* find(const Entry& entry) {
    if (Field* exact = find_exact(entry.written)) return exact;
    std::vector<Field*> all = find_all(entry.written);
    if (all.size() > 1) std::erase_if(all, [&](Field* field) { return is_idle(field->section); });
    if (all.empty()) all = find_all(entry.written);
    if (all.size() > 1) {
      throw entry.source.error(entry.mark, "key " + code(entry.written) +
                                               " is in several sections; write `" + all[0]->key() +
                                               "` or `" + all[1]->key() + "`");
    }
    return all.empty() ? nullptr : all[0];
  }

  // Other programs have the key with or without a section; ours around it does no harm.
  const Alias* alias_for(const Entry& entry) const {
    const std::string text = entry.value.kind == YamlNode::Kind::kNull ? "null" : entry.value.text;
    if (const Alias* alias = find_alias(entry.written, text)) return alias;
    const size_t dot = entry.written.find('.');
    if (dot == std::string::npos || !find_section(entry.written.substr(0, dot))) return nullptr;
    return find_alias(entry.written.substr(dot + 1), text);
  }

  void apply(const Alias& alias, const Entry& entry) {
    const std::string name = code(entry.written) + " (" + std::string(alias.whose) + ")";
    const std::string line = entry.source.line(entry.mark);
    if (alias.kind == Alias::Kind::kRefuse) {
      const std::string value = entry.value.text.empty() ? "" : ": " + excerpt(entry.value.text);
      throw entry.source.error(entry.mark, "`" + excerpt(entry.written) + value + "` (" +
                                               std::string(alias.whose) +
                                               ") has no equivalent: " + std::string(alias.why));
    }
    if (alias.kind == Alias::Kind::kDrop) {
      result_.notes.push_back(drop_note(alias, line));
      return;
    }
    const std::string to(alias.to);
    if (alias.kind == Alias::Kind::kSection) {
      if (!find_section(to)) throw entry.source.error(entry.mark, name + " has no equivalent yet");
      result_.notes.push_back(line + ": " + entry.written + ": " + entry.value.text + " -> " + to +
                              ": {}");
      give_section(to, entry);
      return;
    }
    rename(alias, entry, to);
  }

  void rename(const Alias& alias, const Entry& entry, const std::string& to) {
    Field* field = find({to, entry.mark, entry.value, entry.source});
    if (!field) {
      // The word of one program may be an old word of another: evaluation_strategy -> eval_strategy
      // -> eval_steps.
      if (find_alias(to, entry.value.text)) {
        take({to, entry.mark, entry.value, entry.source});
        return;
      }
      throw entry.source.error(entry.mark, code(entry.written) + " (" + std::string(alias.whose) +
                                               ") has no equivalent yet");
    }
    YamlNode value = entry.value;
    std::string from = entry.written, target = field->key();
    if (!alias.to_value.empty()) {
      from += ": " + value.text;
      target += ": " + std::string(alias.to_value);
      value.text = std::string(alias.to_value);
      value.quoted = false;
    }
    if (alias.kind == Alias::Kind::kShare) check_share(*field, entry);
    result_.notes.push_back(entry.source.line(entry.mark) + ": " + from + " -> " + target + " (" +
                            std::string(alias.whose) + ")");
    set(*field, {entry.written, entry.mark, value, entry.source});
  }

  static void check_share(const Field& field, const Entry& entry) {
    double share = 0;
    const std::string& text = entry.value.text;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), share);
    if (fault != std::errc() || end != text.data() + text.size() || !(share >= 0 && share < 1)) {
      throw entry.source.error(
          entry.value.mark, entry.written + ": found " + describe(entry.value) +
                                ", expected a share of all steps, from 0 to below 1; for a number"
                                " of steps write `" +
                                field.name + "`");
    }
  }

  void set(Field& field, const Entry& entry) {
    give(field.key(), entry);
    if (!field.section.empty() && !result_.origins.contains(field.section))
      give_section(field.section, entry);
    const auto& choices = field.rule.choices;
    const bool is_choice =
        std::find(choices.begin(), choices.end(), entry.value.text) != choices.end();
    const std::string other(
        is_choice || choices.empty() ? "" : find_value_alias(field.name, entry.value.text));
    if (other.empty()) {
      set_value(field, entry.value, entry.source, result_.notes);
      return;
    }
    YamlNode value = entry.value;
    result_.notes.push_back(entry.source.line(entry.mark) + ": " + entry.written + ": " +
                            value.text + " -> " + other);
    value.text = other;
    set_value(field, value, entry.source, result_.notes);
  }

  ResolvedConfig::Origin origin_of(const Entry& entry) const {
    return {entry.written, entry.source.at(entry.mark), entry.source.line(entry.mark),
            entry.source.is_override};
  }

  void give_section(const std::string& name, const Entry& entry) {
    result_.origins.emplace(name, origin_of(entry));
  }

  // The command line wins over the file, and there the last word over the first; a file must not
  // say a thing twice.
  void give(const std::string& key, const Entry& entry) {
    const auto before = result_.origins.find(key);
    if (before != result_.origins.end() && !entry.source.is_override) {
      throw entry.source.error(
          entry.mark, "key " + code(entry.written) + " is given twice; it also stands at " +
                          before->second.place + " as " + code(before->second.written));
    }
    result_.origins[key] = origin_of(entry);
  }

  std::invalid_argument unknown(const Entry& entry) {
    const size_t dot = entry.written.rfind('.');
    const std::string leaf = entry.written.substr(dot == std::string::npos ? 0 : dot + 1);
    const std::string what = "unknown key " + code(entry.written);
    if (dot == std::string::npos) {
      std::vector<std::string> names = result_.keys;
      for (const Field& field : list_.leaves) names.push_back(field.name);
      return entry.source.error(entry.mark, what + did_you_mean(entry.written, names));
    }
    // The right word in the wrong section, else a near word in this section, else a near key
    // anywhere.
    const std::vector<Field*> elsewhere = find_all(leaf);
    if (!elsewhere.empty()) {
      return entry.source.error(entry.mark, what + "; did you mean `" + elsewhere[0]->key() + "`?");
    }
    std::vector<std::string> here;
    for (const Field& field : list_.leaves) {
      if (field.section == entry.written.substr(0, dot)) here.push_back(field.name);
    }
    const std::string near = nearest(leaf, here);
    if (near.empty())
      return entry.source.error(entry.mark, what + did_you_mean(entry.written, result_.keys));
    return entry.source.error(
        entry.mark, what + "; did you mean `" + entry.written.substr(0, dot + 1) + near + "`?");
  }

  void check_required(const std::string& name) const {
    for (const Field& field : list_.leaves) {
      const Section* section = find_section(field.section);
      const bool asked = !section || counts(*section);
      if (field.rule.required && asked && !result_.origins.contains(field.key())) {
        throw std::invalid_argument((name.empty() ? "command line" : name) + ": " + field.key() +
                                    " is missing: " + field.help);
      }
    }
  }

  void check_conflicts() const {
    for (const Section& section : list_.sections) {
      if (!section.conflicts || !counts(section)) continue;
      for (Conflict conflict : section.conflicts()) {
        for (std::string& key : conflict.keys) {
          if (!section.name.empty()) key = section.name + "." + key;
        }
        throw result_.conflict(conflict);
      }
    }
  }

  FieldList& list_;
  ResolvedConfig result_;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  // One byte more than allowed tells that a file is too large without reading it all.
  std::string text(kMaxFileBytes + 1, '\0');
  if (!file || !file.read(text.data(), 0)) {
    throw std::invalid_argument(path + ": this config cannot be read; is the path right?");
  }
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw std::invalid_argument(path + ": this config cannot be read; is it a file?");
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

std::string full_key(const ResolvedConfig& config, const std::string& key) {
  const auto& keys = config.keys;
  if (std::find(keys.begin(), keys.end(), key) != keys.end()) return key;
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const std::string& k) { return k.ends_with("." + key); });
  if (found == keys.end()) throw std::logic_error("config: there is no key " + key);
  return *found;
}

}  // namespace

bool FieldList::is_active(const Section& section) const {
  if (section.owner_key.empty()) return true;
  for (const Field& field : leaves) {
    if (field.key() != section.owner_key) continue;
    const std::string& value = *std::get<std::string*>(field.value);
    return std::find(section.owners.begin(), section.owners.end(), value) != section.owners.end();
  }
  throw std::logic_error("config: section " + section.name + " belongs to " + section.owner_key +
                         ", which is no key");
}

bool ResolvedConfig::given(const std::string& key) const {
  return origins.contains(full_key(*this, key));
}

std::string ResolvedConfig::where(const std::string& key) const {
  const auto found = origins.find(full_key(*this, key));
  return found == origins.end() ? "default" : found->second.place;
}

std::invalid_argument ResolvedConfig::conflict(const Conflict& conflict) const {
  std::string text;
  for (const std::string& key : conflict.keys) {
    text += (text.empty() ? "" : " and ") + full_key(*this, key) + " (" + where(key) + ")";
  }
  return std::invalid_argument(text + ": " + conflict.reason);
}

ResolvedConfig read_yaml_text(const std::string& text, const std::string& name,
                              const std::vector<std::string>& overrides, FieldList list) {
  Resolver resolver(list);
  const YamlSource source{name};
  resolver.take_root(parse_yaml(text, source), source);
  for (const std::string& item : overrides) resolver.take_override(item);
  return resolver.finish(name);
}

ResolvedConfig read_fields(const ConfigSource& source, FieldList list) {
  const std::string text = source.path.empty() ? "" : read_text(source.path);
  return read_yaml_text(text, source.path, source.overrides, std::move(list));
}

std::string fields_help(FieldList list) { return help_fields(list); }
std::string fields_schema(FieldList list, const std::string& title) {
  return schema_fields(list, title);
}

}  // namespace lathe

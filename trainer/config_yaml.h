#pragma once

#include <stdexcept>
#include <string>
#include <vector>

// YAML text -> a plain tree that knows where everything stands. Only config_yaml.cpp includes
// yaml-cpp. Refused with line and column before or while yaml-cpp reads: over 1 MB, deeper than 64,
// over 100,000 nodes, control characters, text that is not UTF-8, duplicate keys, anchors, aliases,
// tags, a second document.
namespace lathe {

struct YamlMark {
  int line = 1, column = 1;  // from 1; columns are bytes
};

// Where a text comes from, for messages.
struct YamlSource {
  std::string name;  // of the file, or the whole override
  bool is_override = false;

  std::string at(YamlMark mark) const;    // "run.yaml:3:7" or "command line: seed=1"
  std::string line(YamlMark mark) const;  // "run.yaml:3" or "command line"
  std::invalid_argument error(YamlMark mark, const std::string& what) const;
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Key {
    std::string text;
    YamlMark mark;
  };

  Kind kind = Kind::kNull;
  YamlMark mark = {};                // of null: where its key stands
  std::string text = {};             // of a scalar
  bool quoted = false;               // of a scalar: certainly text
  std::vector<Key> keys = {};        // of a map, one per item
  std::vector<YamlNode> items = {};  // of a list or map
};

YamlNode parse_yaml(const std::string& text, const YamlSource& source);

// Refuses what no part of a config may hold: over 1 MB, control characters, text that is not UTF-8.
void check_text(const std::string& text, const YamlSource& source);

// As much of a text as fits in a message, on one line.
std::string excerpt(const std::string& text);

}  // namespace lathe

#include "trainer/config_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace lathe {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxDepth = 64;  // yaml-cpp recurses, at most a few frames per level
constexpr size_t kMaxNodes = 100'000;

YamlMark from_yaml_cpp(const YAML::Mark& mark) {
  return {std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1};
}

// Length of the UTF-8 character at text[i], or 0 if it is malformed (RFC 3629: no overlong forms,
// no surrogates).
size_t utf8_length(const std::string& text, size_t i) {
  const auto byte = [&](size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  const auto continues = [&](size_t k) { return (byte(k) & 0xc0) == 0x80; };
  const unsigned lead = byte(i), next = byte(i + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(i + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next >= 0xa0)) return 0;
    return continues(i + 1) && continues(i + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if ((lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next >= 0x90)) return 0;
    return continues(i + 1) && continues(i + 2) && continues(i + 3) ? 4 : 0;
  }
  return 0;
}

bool is_control(unsigned char c) {
  return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const YamlSource& source) : source_(source) {}
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) throw error(mark, "a second document; a config is one document");
  }
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw error(mark, "aliases (`*name`) are not used in a config; write the value again");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "?", anchor);
    add({.kind = YamlNode::Kind::kNull, .mark = from_yaml_cpp(mark)});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    // Escapes can spell what check_text refuses.
    if (value.find('\0') != std::string::npos) throw error(mark, "a NUL character in a text");
    add({.kind = YamlNode::Kind::kScalar,
         .mark = from_yaml_cpp(mark),
         .text = value,
         .quoted = tag == "!"});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    std::map<std::string, int> lines = {};  // of the keys so far
  };

  std::invalid_argument error(const YAML::Mark& mark, const std::string& what) const {
    return source_.error(from_yaml_cpp(mark), what);
  }

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0)
      throw error(mark, "anchors (`&name`) are not used in a config; write the value again");
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw error(mark, "tags (`!name`) are not used in a config; remove it");
    }
    if (++num_nodes_ > kMaxNodes)
      throw error(mark, "more than 100,000 values; a config has a few hundred");
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    check(mark, tag, anchor);
    if (open_.size() == kMaxDepth)
      throw error(mark, "nested deeper than 64; a config needs three levels");
    open_.push_back({.node = {.kind = kind, .mark = from_yaml_cpp(mark)}});
  }

  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    const bool is_key = parent.node.kind == YamlNode::Kind::kMap &&
                        parent.node.keys.size() == parent.node.items.size();
    if (is_key) {
      add_key(parent, node);
      return;
    }
    // yaml-cpp notices that a value is missing only further down: the key is the better place.
    if (node.kind == YamlNode::Kind::kNull && parent.node.kind == YamlNode::Kind::kMap) {
      node.mark = parent.node.keys.back().mark;
    }
    parent.node.items.push_back(std::move(node));
  }

  void add_key(Open& parent, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::kScalar || node.text.empty()) {
      throw source_.error(node.mark, "expected a key, which is one word");
    }
    const auto [first, is_new] = parent.lines.emplace(node.text, node.mark.line);
    if (!is_new) {
      throw source_.error(node.mark, "key `" + excerpt(node.text) +
                                         "` is given twice; it also stands in line " +
                                         std::to_string(first->second));
    }
    parent.node.keys.push_back({node.text, node.mark});
  }

  const YamlSource& source_;
  YamlNode root_;
  std::vector<Open> open_;
  size_t num_nodes_ = 0;
  int num_documents_ = 0;
};

}  // namespace

// yaml-cpp takes byte 4 for the end of the file and guesses at encodings: it gets clean UTF-8 only.
void check_text(const std::string& text, const YamlSource& source) {
  if (text.size() > kMaxBytes) {
    throw source.error({}, "the text is larger than 1 MB; a config is a few kilobytes");
  }
  YamlMark mark;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) throw source.error(mark, "the text is not UTF-8; save the file as UTF-8");
    if (is_control(static_cast<unsigned char>(text[i]))) {
      throw source.error(mark, "control character " + std::to_string(text[i]) + "; remove it");
    }
    if (text[i] == '\n') {
      mark = {mark.line + 1, 1};
    } else {
      mark.column += static_cast<int>(length);
    }
    i += length;
  }
}

std::string excerpt(const std::string& text) {
  constexpr size_t kLongest = 60;
  std::string shown = text.substr(0, kLongest);
  if (text.size() > kLongest) {
    size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;  // whole characters
    shown = text.substr(0, end) + "...";
  }
  for (char& c : shown) {
    if (is_control(static_cast<unsigned char>(c)) || c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return shown;
}

std::string YamlSource::at(YamlMark mark) const {
  return is_override ? "command line: " + excerpt(name)
                     : line(mark) + ":" + std::to_string(mark.column);
}

std::string YamlSource::line(YamlMark mark) const {
  return is_override ? "command line" : name + ":" + std::to_string(mark.line);
}

std::invalid_argument YamlSource::error(YamlMark mark, const std::string& what) const {
  return std::invalid_argument(at(mark) + ": " + what);
}

YamlNode parse_yaml(const std::string& text, const YamlSource& source) {
  check_text(text, source);
  const bool has_bom = text.starts_with("\xef\xbb\xbf");
  std::string ended = has_bom ? text.substr(3) : text;
  // yaml-cpp takes the end of the file for a closing quote, but not the mark of the end of a
  // document.
  ended += ended.ends_with('\n') || ended.empty() ? "...\n" : "\n...\n";
  std::istringstream stream(ended);
  TreeBuilder builder(source);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    throw source.error(from_yaml_cpp(e.mark), "not valid YAML: " + e.msg);
  }
  return builder.take();
}

}  // namespace lathe

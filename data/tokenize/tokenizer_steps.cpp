#include "data/tokenize/tokenizer_steps.h"

#include <map>

#include "data/tokenize/unicode.h"

namespace lathe {
namespace {

struct Pattern {
  std::string text;
  bool is_regex;
};

Pattern read_pattern(const JsonPart& part) {
  part.allow({"String", "Regex"});
  if (const auto text = part.find("String")) return {std::string(text->string()), false};
  return {std::string(part.at("Regex").string()), true};
}

SplitBehavior read_behavior(const JsonPart& part) {
  static const std::map<std::string, SplitBehavior, std::less<>> names = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto found = names.find(part.string());
  if (found == names.end()) part.fail("'" + std::string(part.string()) + "' is not supported");
  return found->second;
}

std::string one_character(const JsonPart& part) {
  const std::string_view text = part.string();
  if (text.empty() || utf8_length(text[0]) != text.size()) part.fail("is not one character");
  return std::string(text);
}

[[noreturn]] void refuse_type(const JsonPart& part) {
  part.at("type").fail("'" + std::string(part.at("type").string()) + "' is not supported");
}

// Calls read for each part of a Sequence (which the parser's limit on depth keeps shallow); false:
// part is none.
template <typename Read>
bool read_sequence(const JsonPart& part, std::string_view key, Read read) {
  if (part.at("type").string() != "Sequence") return false;
  part.allow({"type", key});
  for (const JsonPart& item : part.at(key).items()) read(item);
  return true;
}

PreTokenizerStep::Prepend read_prepend(const JsonPart& part) {
  using Prepend = PreTokenizerStep::Prepend;
  if (const auto scheme = part.find("prepend_scheme")) {
    if (scheme->string() == "always") return Prepend::kAlways;
    if (scheme->string() == "first") return Prepend::kFirst;
    if (scheme->string() == "never") return Prepend::kNever;
    scheme->fail("'" + std::string(scheme->string()) + "' is not supported");
  }
  return part.boolean_or("add_prefix_space", true) ? Prepend::kAlways : Prepend::kNever;
}

void read_template(const JsonPart& part, std::vector<TemplateStep>& steps) {
  part.allow({"type", "single", "pair", "special_tokens"});
  if (!steps.empty()) part.fail("is a second template, which is not supported");
  int num_texts = 0;
  for (const JsonPart& piece : part.at("single").items()) {
    piece.allow({"SpecialToken", "Sequence"});
    if (const auto text = piece.find("Sequence")) {
      if (text->at("id").string() != "A") text->at("id").fail("is not A");
      steps.push_back({true, {}});
      ++num_texts;
      continue;
    }
    TemplateStep step;
    const JsonPart special =
        part.at("special_tokens").at(piece.at("SpecialToken").at("id").string());
    for (const JsonPart& id : special.at("ids").items())
      step.ids.push_back(static_cast<int32_t>(id.integer(0, kMaxTokens)));
    steps.push_back(std::move(step));
  }
  if (num_texts != 1)
    part.at("single").fail("holds the text " + std::to_string(num_texts) + " times, expected once");
}

// RobertaProcessing and BertProcessing: cls text sep.
void read_cls_sep(const JsonPart& part, std::vector<TemplateStep>& steps) {
  part.allow({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  if (!steps.empty()) part.fail("is a second template, which is not supported");
  const auto id = [&](std::string_view key) {
    const auto items = part.at(key).items();
    if (items.size() != 2) part.at(key).fail("is not [token, id]");
    return TemplateStep{false, {static_cast<int32_t>(items[1].integer(0, kMaxTokens))}};
  };
  steps = {id("cls"), {true, {}}, id("sep")};
}

}  // namespace

void read_normalizer(const JsonPart& part, std::vector<NormalizerStep>& steps) {
  using Kind = NormalizerStep::Kind;
  if (read_sequence(part, "normalizers",
                    [&](const JsonPart& item) { read_normalizer(item, steps); }))
    return;
  static const std::map<std::string, Kind, std::less<>> plain = {
      {"NFC", Kind::kNfc},
      {"NFD", Kind::kNfd},
      {"NFKC", Kind::kNfkc},
      {"NFKD", Kind::kNfkd},
      {"Lowercase", Kind::kLowercase},
      {"StripAccents", Kind::kStripAccents}};
  const std::string_view type = part.at("type").string();
  if (const auto found = plain.find(type); found != plain.end()) {
    part.allow({"type"});
    steps.push_back({found->second, "", ""});
  } else if (type == "Strip") {
    part.allow({"type", "strip_left", "strip_right"});
    steps.push_back({Kind::kStrip, "", "", part.boolean_or("strip_left", true),
                     part.boolean_or("strip_right", true)});
  } else if (type == "Prepend") {
    part.allow({"type", "prepend"});
    steps.push_back({Kind::kPrepend, "", std::string(part.at("prepend").string())});
  } else if (type == "Replace") {
    part.allow({"type", "pattern", "content"});
    const Pattern pattern = read_pattern(part.at("pattern"));
    if (pattern.text.empty()) part.at("pattern").fail("is empty");
    steps.push_back({pattern.is_regex ? Kind::kReplaceRegex : Kind::kReplace, pattern.text,
                     std::string(part.at("content").string())});
  } else {
    refuse_type(part);
  }
}

void read_pre_tokenizer(const JsonPart& part, std::vector<PreTokenizerStep>& steps) {
  using Kind = PreTokenizerStep::Kind;
  if (read_sequence(part, "pretokenizers",
                    [&](const JsonPart& item) { read_pre_tokenizer(item, steps); }))
    return;
  const std::string_view type = part.at("type").string();
  if (!steps.empty() && steps.back().kind == Kind::kByteLevel)
    part.fail("stands behind ByteLevel, which must be the last");
  PreTokenizerStep step;
  if (type == "Split") {
    part.allow({"type", "pattern", "behavior", "invert"});
    const Pattern pattern = read_pattern(part.at("pattern"));
    step.kind = pattern.is_regex ? Kind::kSplitRegex : Kind::kSplit;
    step.pattern = pattern.text;
    step.behavior = read_behavior(part.at("behavior"));
    step.invert = part.boolean_or("invert", false);
  } else if (type == "ByteLevel") {
    part.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    step.kind = Kind::kByteLevel;
    step.prepend = read_prepend(part);
    step.use_regex = part.boolean_or("use_regex", true);
  } else if (type == "Digits") {
    part.allow({"type", "individual_digits"});
    step.kind = Kind::kDigits;
    step.individual_digits = part.boolean_or("individual_digits", false);
  } else if (type == "Punctuation") {
    part.allow({"type", "behavior"});
    step.kind = Kind::kPunctuation;
    if (const auto behavior = part.find("behavior")) step.behavior = read_behavior(*behavior);
  } else if (type == "Metaspace") {
    part.allow({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
    step.kind = Kind::kMetaspace;
    step.pattern = one_character(part.at("replacement"));
    step.prepend = read_prepend(part);
    step.split = part.boolean_or("split", true);
  } else if (type == "Whitespace" || type == "WhitespaceSplit") {
    part.allow({"type"});
    step.kind = type == "Whitespace" ? Kind::kWhitespace : Kind::kWhitespaceSplit;
  } else {
    refuse_type(part);
  }
  steps.push_back(std::move(step));
}

void read_post_processor(const JsonPart& part, std::vector<TemplateStep>& steps) {
  if (read_sequence(part, "processors",
                    [&](const JsonPart& item) { read_post_processor(item, steps); }))
    return;
  const std::string_view type = part.at("type").string();
  if (type == "TemplateProcessing") {
    read_template(part, steps);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    read_cls_sep(part, steps);
  } else if (type != "ByteLevel") {  // which trims offsets only; ours are exact
    refuse_type(part);
  }
}

void read_decoder(const JsonPart& part, std::vector<DecoderStep>& steps) {
  using Kind = DecoderStep::Kind;
  if (read_sequence(part, "decoders", [&](const JsonPart& item) { read_decoder(item, steps); }))
    return;
  const std::string_view type = part.at("type").string();
  DecoderStep step;
  if (type == "ByteLevel" || type == "ByteFallback" || type == "Fuse") {
    part.allow({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    step.kind = type == "ByteLevel" ? Kind::kByteLevel
                : type == "Fuse"    ? Kind::kFuse
                                    : Kind::kByteFallback;
  } else if (type == "Replace") {
    part.allow({"type", "pattern", "content"});
    const Pattern pattern = read_pattern(part.at("pattern"));
    if (pattern.text.empty()) part.at("pattern").fail("is empty");
    step = {pattern.is_regex ? Kind::kReplaceRegex : Kind::kReplace, pattern.text,
            std::string(part.at("content").string())};
  } else if (type == "Strip") {
    part.allow({"type", "content", "start", "stop"});
    step = {Kind::kStrip, "", one_character(part.at("content"))};
    step.start = part.at("start").integer(0, 1 << 16);
    step.stop = part.at("stop").integer(0, 1 << 16);
  } else if (type == "Metaspace") {
    part.allow({"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
    step = {Kind::kMetaspace, one_character(part.at("replacement")), ""};
    step.prepended = read_prepend(part) != PreTokenizerStep::Prepend::kNever;
  } else {
    refuse_type(part);
  }
  steps.push_back(std::move(step));
}

}  // namespace lathe

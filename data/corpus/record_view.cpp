#include "data/corpus/record_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/corpus/parsers.h"

namespace lathe {
namespace {

using namespace json_fields;

constexpr std::array<std::string_view, 21> kKeys{"text",
                                                 "messages",
                                                 "input_ids",
                                                 "labels",
                                                 "prompt",
                                                 "completion",
                                                 "instruction",
                                                 "system",
                                                 "history",
                                                 "tools",
                                                 "documents",
                                                 "conversations",
                                                 "conversation",
                                                 "segments",
                                                 "system_prompt",
                                                 "chosen",
                                                 "rejected",
                                                 "label",
                                                 "kto_tag",
                                                 "rejected_response",
                                                 "rejected_messages"};

void check_column(const std::string& name) {
  std::vector<std::string_view> known(kKeys.begin(), kKeys.end());
  for (const std::string_view query : kQueryNames) known.push_back(query);
  for (const std::string_view response : kResponseNames) known.push_back(response);
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  throw std::invalid_argument(
      fmt::format("columns: no shape has a key `{}`; a column is written SHAPE'S KEY: FILE'S KEY, "
                  "as in {{prompt: question}}, and the shapes' keys are {}",
                  name, fmt::join(known, ", ")));
}

struct SpeakerTag {
  const char* tag;
  Speaker speaker;
  std::vector<std::string> usual;  // what stands there when the tag is not given
};

const std::vector<SpeakerTag>& speaker_tags() {
  static const std::vector<SpeakerTag> tags{
      {"user_tag", Speaker::kUser, {"human", "user"}},
      {"assistant_tag", Speaker::kAssistant, {"gpt", "assistant", "chatgpt"}},
      {"function_tag", Speaker::kFunction, {"function_call"}},
      {"observation_tag", Speaker::kTool, {"observation", "tool"}},
      {"system_tag", Speaker::kSystem, {"system"}}};
  return tags;
}

void check_tag(const std::string& name) {
  std::string known = "role_tag, content_tag";
  for (const SpeakerTag& tag : speaker_tags()) {
    if (name == tag.tag) return;
    known += fmt::format(", {}", tag.tag);
  }
  if (name == "role_tag" || name == "content_tag") return;
  throw std::invalid_argument(fmt::format("tags: `{}` is none; expected {}", name, known));
}

}  // namespace

RecordFormat::RecordFormat(const Reading& reading)
    : columns(reading.columns.begin(), reading.columns.end()) {
  for (const auto& [name, unused] : columns) check_column(name);
  for (const auto& [name, unused] : reading.tags) check_tag(name);
  const auto given = [&](const char* tag) -> const std::string* {
    const auto found = reading.tags.find(tag);
    return found == reading.tags.end() ? nullptr : &found->second;
  };
  if (const std::string* key = given("role_tag")) role_key = *key;
  if (const std::string* key = given("content_tag")) content_key = *key;
  for (const SpeakerTag& tag : speaker_tags()) {
    if (const std::string* word = given(tag.tag)) speakers.emplace_back(*word, tag.speaker);
  }
  for (const SpeakerTag& tag : speaker_tags()) {
    if (given(tag.tag)) continue;
    for (const std::string& word : tag.usual) speakers.emplace_back(word, tag.speaker);
  }
}

bool RecordView::is_taken(std::string_view file_key) const {
  return std::any_of(format_.columns.begin(), format_.columns.end(),
                     [&](const auto& column) { return column.second == file_key; });
}

bool RecordView::has(std::string_view key) const {
  if (format_.columns.empty()) return object_.at_key(key).error() == simdjson::SUCCESS;
  const auto column = format_.columns.find(key);
  if (column == format_.columns.end() && is_taken(key)) return false;
  return object_.at_key(column == format_.columns.end() ? key : column->second).error() ==
         simdjson::SUCCESS;
}

std::string RecordView::name(std::string_view key) const {
  const auto column = format_.columns.find(key);
  return column == format_.columns.end() ? std::string(key) : column->second;
}

std::optional<Element> RecordView::find(std::string_view key) const {
  if (!format_.columns.empty() && !has(key)) return std::nullopt;
  const std::string file_key = name(key);
  return json_fields::find(object_, file_key, file_key);
}

Element RecordView::at(std::string_view key, const std::string& expected) const {
  const std::string file_key = name(key);
  if (!format_.columns.empty() && !has(key)) fault(file_key, "no such key", expected);
  return json_fields::at(object_, file_key, file_key, expected);
}

std::optional<std::string> RecordView::text_at(std::string_view key) const {
  const auto value = find(key);
  if (!value) return std::nullopt;
  std::string text = text_of(*value, name(key));
  if (text.empty()) return std::nullopt;
  return text;
}

std::vector<std::string> RecordView::keys() const {
  std::vector<std::string> keys = keys_of(object_);
  if (format_.columns.empty()) return keys;
  std::erase_if(
      keys, [&](const std::string& key) { return is_taken(key) || format_.columns.contains(key); });
  for (const auto& [column, unused] : format_.columns) {
    if (has(column)) keys.push_back(column);
  }
  return keys;
}

}  // namespace lathe

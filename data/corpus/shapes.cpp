#include "data/corpus/shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/corpus/parsers.h"

namespace lathe {
namespace {

template <size_t N>
Keys those_of(const Keys& keys, const std::string_view (&names)[N]) {
  Keys found;
  for (const std::string_view name : names) {
    if (has(keys, name)) found.emplace_back(name);
  }
  return found;
}

// Pairs that say which answer is better, or whether one is good: to train on all of them alike
// would teach what is to be avoided.
bool is_preference(const Keys& keys) {
  if (has(keys, "chosen") && has(keys, "rejected")) return true;
  const bool talk = has(keys, "messages") || has(keys, "conversations") ||
                    (has(keys, "prompt") && has(keys, "completion"));
  return talk && (has(keys, "label") || has(keys, "kto_tag"));
}

bool fits_text(const Keys& keys) { return has(keys, "text"); }
bool fits_tokens(const Keys& keys) { return has(keys, "input_ids"); }
bool fits_segments(const Keys& keys) { return has(keys, "segments"); }
bool fits_messages(const Keys& keys) { return has(keys, "messages") && !is_preference(keys); }
bool fits_sharegpt(const Keys& keys) {
  return (has(keys, "conversations") || has(keys, "conversation")) && !is_preference(keys);
}
bool fits_prompt_completion(const Keys& keys) {
  return has(keys, "prompt") && has(keys, "completion") && !is_preference(keys);
}
bool fits_alpaca(const Keys& keys) {
  return has(keys, "instruction") && (has(keys, "output") || has(keys, "response")) &&
         !is_preference(keys);
}
// The last resort: the names are common words.
bool fits_query_response(const Keys& keys) {
  return !fits_prompt_completion(keys) && !fits_alpaca(keys) && !is_preference(keys) &&
         !those_of(keys, kQueryNames).empty() && !those_of(keys, kResponseNames).empty();
}

// What other tools write that is close to ours, by the two keys that tell it.
struct Foreign {
  std::string_view first, second, name, advice;
};
constexpr std::array kForeign{
    Foreign{"chosen", "rejected", "preference pairs",
            "train on them with a preference recipe, or write {\"messages\": <chosen>} to train on "
            "what was chosen"},
    Foreign{"messages", "label", "unpaired preferences",
            "keep the records that are labelled true, without the label, to train on them"},
    Foreign{"prompt", "label", "unpaired preferences",
            "keep the records that are labelled true, without the label, to train on them"},
    Foreign{"conversations", "kto_tag", "unpaired preferences",
            "keep the records that are tagged true, without the tag, to train on them"},
    Foreign{"instruction", "instances", "alpaca",
            "write one record {\"instruction\": ..., \"input\": ..., \"output\": ...} for each of "
            "the instances"},
    Foreign{"tokens", "tokens", "tokens", "rename tokens to input_ids"},
    Foreign{"content", "content", "text", "rename content to text"},
};

}  // namespace

const std::vector<ShapeEntry>& shape_table() {
  static const std::vector<ShapeEntry> table{
      {Shape::kText, "text", R"({"text": "..."})", fits_text, parse_text},
      {Shape::kMessages, "messages", R"({"messages": [{"role": "...", "content": "..."}, ...]})",
       fits_messages, parse_messages},
      {Shape::kTokens, "tokens", R"({"input_ids": [1, 2, ...], "labels": [-100, 2, ...]})",
       fits_tokens, parse_tokens},
      {Shape::kPromptCompletion, "prompt_completion",
       R"({"prompt": "...", "completion": "..."} or lists of messages)", fits_prompt_completion,
       parse_prompt_completion},
      {Shape::kQueryResponse, "query_response",
       R"({"query": "...", "response": "..."} or {"question": "...", "answer": "..."})",
       fits_query_response, parse_query_response},
      {Shape::kAlpaca, "alpaca", R"({"instruction": "...", "input": "...", "output": "..."})",
       fits_alpaca, parse_alpaca},
      {Shape::kShareGpt, "sharegpt",
       R"({"conversations": [{"from": "human", "value": "..."}, ...]})", fits_sharegpt,
       parse_sharegpt},
      {Shape::kSegments, "segments", R"({"segments": [{"label": true, "text": "..."}, ...]})",
       fits_segments, parse_segments},
  };
  return table;
}

const ShapeEntry& shape_entry(Shape shape) {
  for (const ShapeEntry& entry : shape_table()) {
    if (entry.shape == shape) return entry;
  }
  throw std::logic_error("a shape that is not in the table");
}

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names{"auto"};
  for (const ShapeEntry& entry : shape_table()) names.push_back(entry.name);
  return names;
}

std::string_view shape_name(Shape shape) {
  return shape == Shape::kAuto ? "auto" : shape_entry(shape).name;
}

Shape shape_named(std::string_view name) {
  if (name == "auto") return Shape::kAuto;
  for (const ShapeEntry& entry : shape_table()) {
    if (entry.name == name) return entry.shape;
  }
  throw std::invalid_argument(
      fmt::format("shape is `{}`; expected one of {}", name, fmt::join(shape_names(), ", ")));
}

bool is_chat(Shape shape) {
  return shape != Shape::kAuto && shape != Shape::kText && shape != Shape::kTokens &&
         shape != Shape::kSegments;
}

Shape detect_shape(const Keys& keys, std::string& reason) {
  std::vector<const ShapeEntry*> fitting;
  std::string names;
  for (const ShapeEntry& entry : shape_table()) {
    if (!entry.fits(keys)) continue;
    fitting.push_back(&entry);
    names += fmt::format("{}{}, {}", names.empty() ? "" : "; ", entry.name, entry.sketch);
  }
  const std::string found = fmt::format("keys: found {}", list_keys(keys));
  if (fitting.empty()) {
    auto shapes = shape_names();
    shapes.erase(shapes.begin());  // auto
    throw std::invalid_argument(fmt::format("{}, expected those of one of the shapes {}; {}", found,
                                            fmt::join(shapes, ", "), nearest_shape(keys)));
  }
  if (fitting.size() > 1) {
    throw std::invalid_argument(fmt::format(
        "{}, which fit more than one shape ({}); say which with shape: in the list of data", found,
        names));
  }
  const ShapeEntry& entry = *fitting.front();
  reason = fmt::format("the first record has the keys {}: taken as {}, {}", list_keys(keys),
                       entry.name, entry.sketch);
  if (entry.shape == Shape::kQueryResponse) {
    const Keys queries = those_of(keys, kQueryNames), responses = those_of(keys, kResponseNames);
    if (queries.size() > 1 || responses.size() > 1) {
      throw std::invalid_argument(
          fmt::format("{}, of which {} could be the question and {} the answer; shape: "
                      "query_response takes {} and {}",
                      found, list_keys(queries), list_keys(responses), queries[0], responses[0]));
    }
    reason += fmt::format("; {} is the question, {} the answer", queries[0], responses[0]);
  }
  return entry.shape;
}

std::string nearest_shape(const Keys& keys) {
  for (const Foreign& foreign : kForeign) {
    if (!has(keys, foreign.first) || !has(keys, foreign.second)) continue;
    const bool taken = std::any_of(shape_table().begin(), shape_table().end(),
                                   [&](const auto& entry) { return entry.fits(keys); });
    if (!taken) return fmt::format("nearest shape: {}: {}", foreign.name, foreign.advice);
  }
  std::string nearest;
  for (const ShapeEntry& entry : shape_table()) {
    if (entry.fits(keys))
      nearest += fmt::format("{}{}, {}", nearest.empty() ? "" : " or ", entry.name, entry.sketch);
  }
  return "nearest shape: " + (nearest.empty() ? "none" : nearest);
}

bool has(const Keys& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::string list_keys(const Keys& keys) {
  std::string list;
  for (size_t i = 0; i < std::min<size_t>(keys.size(), 8); ++i)
    list += fmt::format("{}\"{}\"", i ? ", " : "", keys[i]);
  if (keys.size() > 8) list += fmt::format(" and {} more", keys.size() - 8);
  return keys.empty() ? "no key" : list;
}

}  // namespace lathe

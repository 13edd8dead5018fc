#include "data/corpus/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lathe {
namespace {

bool has(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Shapes of other tools that are close to ours, by the two keys that tell them.
struct Foreign {
  std::string_view first, second, name, advice;
};

constexpr std::string_view kPair =
    R"(write {"messages": [{"role": "user", "content": <%1>}, {"role": "assistant", "content": <%2>}]})";
constexpr std::array kForeign{
    Foreign{"question", "answer", "messages (question and answer)", kPair},
    Foreign{"prompt", "completion", "messages (prompt and completion)", kPair},
    Foreign{"prompt", "response", "messages (prompt and response)", kPair},
    Foreign{"query", "response", "messages (query and response)", kPair},
    Foreign{"instruction", "output", "messages (Alpaca)", kPair},
    Foreign{"instruction", "response", "messages (instruction and response)", kPair},
    Foreign{"chosen", "rejected", "messages (preference pairs)",
            R"(write {"messages": <chosen>} to train on what was chosen)"},
    Foreign{
        "conversations", "conversations", "messages (ShareGPT)",
        R"(rename conversations to messages, from to role, value to content, human to user, gpt to assistant)"},
    Foreign{"conversation", "conversation", "messages", "rename conversation to messages"},
    Foreign{"tokens", "tokens", "tokens", "rename tokens to input_ids"},
    Foreign{"content", "content", "text", "rename content to text"},
};

std::string fill_in(std::string_view advice, const Foreign& foreign) {
  std::string text(advice);
  if (const size_t at = text.find("%1"); at != text.npos) text.replace(at, 2, foreign.first);
  if (const size_t at = text.find("%2"); at != text.npos) text.replace(at, 2, foreign.second);
  return text;
}

}  // namespace

std::string_view shape_name(Shape shape) {
  switch (shape) {
    case Shape::kText:
      return "text";
    case Shape::kMessages:
      return "messages";
    case Shape::kTokens:
      return "tokens";
    case Shape::kAuto:
      break;
  }
  return "auto";
}

std::string_view shape_sketch(Shape shape) {
  switch (shape) {
    case Shape::kText:
      return R"({"text": "..."})";
    case Shape::kMessages:
      return R"({"messages": [{"role": "...", "content": "..."}, ...]})";
    case Shape::kTokens:
      return R"({"input_ids": [1, 2, ...], "labels": [-100, 2, ...]})";
    case Shape::kAuto:
      break;
  }
  return R"({"messages": [...]}, {"text": "..."} or {"input_ids": [...]})";
}

Shape shape_of(const std::vector<std::string>& keys) {
  if (has(keys, "input_ids")) return Shape::kTokens;
  if (has(keys, "messages")) return Shape::kMessages;
  if (has(keys, "text")) return Shape::kText;
  return Shape::kAuto;
}

std::string nearest_shape(const std::vector<std::string>& keys) {
  if (const Shape shape = shape_of(keys); shape != Shape::kAuto) {
    return fmt::format("nearest shape: {}, {}", shape_name(shape), shape_sketch(shape));
  }
  for (const Foreign& foreign : kForeign) {
    if (!has(keys, foreign.first) || !has(keys, foreign.second)) continue;
    return fmt::format("nearest shape: {}: {}", foreign.name, fill_in(foreign.advice, foreign));
  }
  return fmt::format("nearest shape: none of {}", shape_sketch(Shape::kAuto));
}

std::string list_keys(const std::vector<std::string>& keys) {
  std::string list;
  for (size_t i = 0; i < std::min<size_t>(keys.size(), 8); ++i)
    list += fmt::format("{}\"{}\"", i ? ", " : "", keys[i]);
  if (keys.size() > 8) list += fmt::format(" and {} more", keys.size() - 8);
  return keys.empty() ? "no key" : list;
}

}  // namespace lathe

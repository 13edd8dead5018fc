#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/corpus/parsers.h"

// JSON that stands as text within a string of a record.
namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

// Deep enough for any call; what prints JSON goes down as deep as the text does.
bool is_shallow(std::string_view text) {
  int64_t depth = 0;
  for (const char letter : text) {
    depth += letter == '[' || letter == '{' ? 1 : letter == ']' || letter == '}' ? -1 : 0;
    if (depth > 64) return false;
  }
  return true;
}

Json parsed(const std::string& text) {
  return is_shallow(text) ? Json::parse(text, nullptr, false) : Json(Json::value_t::discarded);
}

bool is_call(const Json& call) {
  return call.is_object() && call.contains("name") && call["name"].is_string();
}

std::string call_text(const Json& call) {
  const Json arguments = call.contains("arguments") ? call["arguments"] : Json::object();
  return Json{{"type", "function"},
              {"function", {{"name", call["name"]}, {"arguments", arguments}}}}
      .dump();
}

}  // namespace

std::string tool_calls_of(const std::string& text) {
  const Json value = parsed(text);
  if (is_call(value)) return call_text(value);
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), is_call))
    return "";
  std::string calls;
  for (const Json& call : value) calls += (calls.empty() ? "" : ", ") + call_text(call);
  return calls;
}

std::string json_list_of(const std::string& text, const std::string& field) {
  if (text.find_first_not_of(" \t\r\n") == text.npos) return "";
  const Json value = parsed(text);
  if (!value.is_array()) json_fields::fault(field, "a string that is no JSON list", "a list");
  return value.empty() ? "" : value.dump();
}

}  // namespace lathe

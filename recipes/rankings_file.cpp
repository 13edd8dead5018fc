#include "recipes/rankings_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>

#include "trainer/json_fields.h"
#include "trainer/text_lines.h"

namespace lathe {
namespace {

[[noreturn]] void fail(const char* key, const Json& record, const char* expected) {
  throw std::invalid_argument(fmt::format("{}: found {}, expected {}", key,
                                          record.contains(key) ? shown(record[key]) : "nothing",
                                          expected));
}

Line prompt_of(const Json& record) {
  const Json prompt = record.value("prompt", Json());
  if (prompt.is_string())
    return Line::array({{{"role", "user"}, {"content", prompt.get<std::string>()}}});
  const auto is_message = [](const Json& m) {
    return m.is_object() && m.contains("role") && m["role"].is_string() && m.contains("content") &&
           m["content"].is_string();
  };
  if (!prompt.is_array() || prompt.empty() ||
      !std::all_of(prompt.begin(), prompt.end(), is_message))
    fail("prompt", record, "a text or a list of {role, content}");
  Line messages = Line::array();
  for (const Json& message : prompt)
    messages.push_back({{"role", message["role"]}, {"content", message["content"]}});
  return messages;
}

Ranking parse(std::string_view line) {
  const Json record = Json::parse(line);
  if (!record.is_object())
    throw std::invalid_argument("found " + shown(record) + ", expected an object");
  Ranking ranking{.prompt = prompt_of(record), .responses = {}, .ranks = {}};
  const Json responses = record.value("responses", Json()), ranks = record.value("ranks", Json());
  const auto all = [](const Json& list, bool (Json::*is)() const noexcept) {
    return std::all_of(list.begin(), list.end(), [&](const Json& each) { return (each.*is)(); });
  };
  if (!responses.is_array() || responses.size() < 2 || !all(responses, &Json::is_string))
    fail("responses", record, "a list of two texts or more");
  if (!ranks.is_array() || ranks.size() != responses.size() || !all(ranks, &Json::is_number))
    fail("ranks", record, "a number for each response");
  for (const Json& each : responses) ranking.responses.push_back(each.get<std::string>());
  for (const Json& each : ranks) ranking.ranks.push_back(each.get<double>());
  return ranking;
}

}  // namespace

std::vector<Ranking> read_rankings(const std::string& path) {
  std::vector<Ranking> rankings;
  for_each_line(path, [&](std::string_view line) { rankings.push_back(parse(line)); });
  if (rankings.empty()) throw std::invalid_argument(path + ": holds no ranking");
  return rankings;
}

}  // namespace lathe

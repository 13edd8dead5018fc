#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <stdexcept>

#include "data/corpus/input_file.h"
#include "data/corpus/lines.h"
#include "data/corpus/record_text.h"
#include "data/curate/contamination.h"

namespace lathe {
namespace {

using simdjson::dom::element;

// "doc.query": a key of an object at a key; nothing where it is not there.
bool find_at(element value, std::string_view path, element& found) {
  while (true) {
    const size_t dot = path.find('.');
    if (value.at_key(path.substr(0, dot)).get(value) != simdjson::SUCCESS) return false;
    if (dot == path.npos) break;
    path.remove_prefix(dot + 1);
  }
  found = value;
  return true;
}

// A string, or strings of a list with a newline between.
bool text_of(const element& value, std::string& text) {
  std::string_view view;
  if (value.get(view) == simdjson::SUCCESS) {
    text = view;
    return true;
  }
  simdjson::dom::array list;
  if (value.get(list) != simdjson::SUCCESS) return false;
  text.clear();
  for (const element item : list) {
    if (item.get(view) != simdjson::SUCCESS) return false;
    if (!text.empty()) text.push_back('\n');
    text += view;
  }
  return true;
}

std::string id_of(const element& record, int64_t line) {
  for (const char* key : {"id", "task_id", "question_id", "doc.id", "native_id", "doc_id"}) {
    element value;
    if (!find_at(record, key, value)) continue;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) return std::string(text);
    if (value.is_int64() || value.is_uint64()) return simdjson::minify(value);
  }
  return fmt::format("line {}", line);
}

}  // namespace

std::vector<EvaluationItem> read_evaluation_items(const std::string& path, const std::string& task,
                                                  const std::vector<std::string>& keys) {
  static const std::vector<std::string> usual{"doc.query",   "doc.question", "query",
                                              "question",    "problem",      "prompt",
                                              "instruction", "turns",        "text"};
  const std::vector<std::string>& asked = keys.empty() ? usual : keys;
  InputFile file(path);
  RecordTexts records(file, false);
  simdjson::dom::parser parser(2 * kMostLineBytes);
  std::vector<EvaluationItem> items;
  while (const auto text = records.next()) {
    const simdjson::padded_string padded(*text);
    element record;
    if (parser.parse(padded).get(record) != simdjson::SUCCESS || !record.is_object()) {
      throw std::invalid_argument(fmt::format(
          "{}:{}: found broken JSON, expected an evaluation item", path, records.line()));
    }
    EvaluationItem item{task, id_of(record, records.line()), ""};
    bool found = false;
    for (const std::string& key : asked) {
      element value;
      found = find_at(record, key, value) && text_of(value, item.text);
      if (found) break;
    }
    if (!found) {
      throw std::invalid_argument(fmt::format(
          "{}:{}: the item has no text at {}; say where it stands: keys: [prompt] or [doc.query]",
          path, records.line(), fmt::join(asked, ", ")));
    }
    // Requests of one item stand one after another, one for each choice.
    if (!items.empty() && items.back().text == item.text) continue;
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace lathe

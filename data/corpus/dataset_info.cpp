#include "data/corpus/dataset_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::streamsize kMostBytes = 16 << 20;

struct Column {
  std::string_view theirs, ours;
};
constexpr std::array kAlpacaColumns{
    Column{"prompt", "instruction"}, Column{"query", "input"},       Column{"response", "output"},
    Column{"history", "history"},    Column{"system", "system"},     Column{"tools", "tools"},
    Column{"chosen", "chosen"},      Column{"rejected", "rejected"}, Column{"kto_tag", "kto_tag"}};
constexpr std::array kShareGptColumns{Column{"messages", "conversations"},
                                      Column{"system", "system"},
                                      Column{"tools", "tools"},
                                      Column{"chosen", "chosen"},
                                      Column{"rejected", "rejected"},
                                      Column{"kto_tag", "kto_tag"}};

std::string info_path(const std::string& folder) { return folder + "/dataset_info.json"; }

[[noreturn]] void refuse(const std::string& place, const std::string& what) {
  throw std::invalid_argument(place + ": " + what);
}

Json read_info(const std::string& folder) {
  const std::string path = info_path(folder);
  std::ifstream file(path, std::ios::binary);
  if (!file) return Json::object();
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), kMostBytes + 1);
  text.resize(static_cast<size_t>(file.gcount()));
  if (std::ssize(text) > kMostBytes) refuse(path, "is too large for a list of data sets");
  // Deep text would go down as deep in the parser.
  int64_t depth = 0;
  for (const char letter : text) {
    depth += letter == '[' || letter == '{' ? 1 : letter == ']' || letter == '}' ? -1 : 0;
    if (depth > 64) refuse(path, "is nested too deep");
  }
  Json info = Json::parse(text, nullptr, false);
  if (!info.is_object()) refuse(path, "is not a JSON object of data sets by name");
  return info;
}

// A map of texts; null stands for "not there".
std::map<std::string, std::string> texts_at(const Json& entry, const char* key,
                                            const std::string& place) {
  std::map<std::string, std::string> texts;
  if (!entry.contains(key)) return texts;
  if (!entry[key].is_object()) refuse(place, fmt::format("{}: expected an object of texts", key));
  for (const auto& [name, value] : entry[key].items()) {
    if (value.is_null()) continue;
    if (!value.is_string()) refuse(place, fmt::format("{}.{}: expected a text", key, name));
    texts[name] = value.get<std::string>();
  }
  return texts;
}

template <size_t N>
void take_columns(const std::map<std::string, std::string>& theirs,
                  const std::array<Column, N>& table, const std::string& place, Reading& reading) {
  for (const auto& [name, file_key] : theirs) {
    const auto* column =
        std::find_if(table.begin(), table.end(),
                     [&wanted = name](const Column& c) { return c.theirs == wanted; });
    if (column == table.end()) refuse(place, fmt::format("columns.{}: is not read", name));
    reading.columns[std::string(column->ours)] = file_key;
  }
}

// What ranking and kto_tag make of a shape of answers that are all alike.
Shape ranked(Shape shape, bool ranking, const std::map<std::string, std::string>& columns) {
  if (ranking) return Shape::kPreference;
  return columns.contains("kto_tag") ? Shape::kUnpaired : shape;
}

Reading reading_of(const Json& entry, const std::string& place) {
  Reading reading;
  const auto columns = texts_at(entry, "columns", place);
  const bool ranking = entry.value("ranking", false);
  const std::string formatting = entry.value("formatting", "alpaca");
  if (formatting == "sharegpt" || formatting == "openai") {
    reading.shape = ranked(Shape::kShareGpt, ranking, columns);
    take_columns(columns, kShareGptColumns, place, reading);
    reading.tags = texts_at(entry, "tags", place);
    return reading;
  }
  if (formatting != "alpaca")
    refuse(place, fmt::format("formatting is `{}`; expected alpaca or sharegpt", formatting));
  // Columns with a prompt alone: the text of pretraining.
  if (!ranking && columns.size() == 1 && columns.contains("prompt")) {
    reading.shape = Shape::kText;
    reading.columns["text"] = columns.at("prompt");
    return reading;
  }
  reading.shape = ranked(Shape::kAlpaca, ranking, columns);
  take_columns(columns, kAlpacaColumns, place, reading);
  return reading;
}

NamedDataset named(const Json& entry, const std::string& folder, const std::string& place) try {
  if (!entry.is_object()) refuse(place, "expected an object with file_name");
  if (!entry.contains("file_name"))
    refuse(place,
           "has no file_name; the network is never used: save the data set to a file and "
           "name it here");
  for (const char* key : {"num_samples", "load_from", "subset"}) {
    if (entry.contains(key) && !entry[key].is_null())
      refuse(place, fmt::format("{} is not supported; leave it out (a weight in the list of data "
                                "says how much of a data set is taken)",
                                key));
  }
  const fs::path file = entry["file_name"].get<std::string>();
  return {file.is_absolute() ? file.string() : (fs::path(folder) / file).string(),
          reading_of(entry, place)};
} catch (const Json::exception&) {
  refuse(place, "expected texts for file_name and formatting, true or false for ranking");
}

}  // namespace

std::optional<NamedDataset> find_named_dataset(const std::string& folder, const std::string& name) {
  const Json info = read_info(folder);
  if (!info.contains(name)) return std::nullopt;
  return named(info[name], folder, info_path(folder) + ": " + name);
}

std::vector<std::string> dataset_names(const std::string& folder) {
  std::vector<std::string> names;
  const Json info = read_info(folder);
  for (const auto& [name, unused] : info.items()) names.push_back(name);
  return names;
}

}  // namespace lathe

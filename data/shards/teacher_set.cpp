#include "data/shards/teacher_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {
namespace {

using nlohmann::json;

constexpr uint64_t kMostManifestBytes = 256 << 20;

std::string manifest_path(const std::string& folder) { return folder + "/teacher.json"; }

uint64_t parse_hash(const std::string& text) {
  uint64_t hash = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (text.size() == 16 && error == std::errc() && end == text.data() + text.size()) return hash;
  throw std::runtime_error("\"" + text + "\" is no hash of 16 hex digits");
}

int64_t parse_count(const json& object, const char* key) {
  const json& value = object.at(key);
  if (value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{1} << 56)
    return value.get<int64_t>();
  throw std::runtime_error(fmt::format("{} is {}, expected a count", key, value.dump()));
}

TeacherEntry parse_entry(const json& object) {
  TeacherEntry entry;
  entry.file = object.at("file").get<std::string>();
  if (entry.file.empty() || entry.file.find('/') != std::string::npos || entry.file[0] == '.')
    throw std::runtime_error("shard file \"" + entry.file + "\" is no plain file name");
  entry.seal = {.bytes = static_cast<uint64_t>(parse_count(object, "bytes")),
                .head_bytes = static_cast<uint64_t>(parse_count(object, "head_bytes")),
                .head_hash = parse_hash(object.at("head_hash").get<std::string>())};
  entry.hash = parse_hash(object.at("hash").get<std::string>());
  entry.first_document = parse_count(object, "first_document");
  entry.documents = parse_count(object, "documents");
  entry.rows = parse_count(object, "rows");
  return entry;
}

}  // namespace

std::string teacher_manifest_text(const TeacherManifest& manifest) {
  json shards = json::array();
  for (const TeacherEntry& shard : manifest.shards) {
    shards.push_back({{"file", shard.file},
                      {"bytes", shard.seal.bytes},
                      {"hash", hex16(shard.hash)},
                      {"head_bytes", shard.seal.head_bytes},
                      {"head_hash", hex16(shard.seal.head_hash)},
                      {"first_document", shard.first_document},
                      {"documents", shard.documents},
                      {"rows", shard.rows}});
  }
  const TeacherInfo& info = manifest.info;
  const json object = {
      {"format", "lathe.teacher_set"},
      {"version", 1},
      {"teacher_hash", info.teacher_hash},
      {"tokenizer_hash", info.tokenizer_hash},
      {"template_hash", info.template_hash},
      {"dataset_hash", info.dataset_hash},
      {"vocab_size", info.vocab_size},
      {"k", info.k},
      {"shards", shards},
      {"report", manifest.report.empty() ? json::object() : json::parse(manifest.report)}};
  return object.dump(2) + "\n";
}

TeacherManifest parse_teacher_manifest(const std::string& text) {
  const json object = json::parse(text);
  if (object.at("format") != "lathe.teacher_set" || object.at("version") != 1)
    throw std::runtime_error("is not lathe.teacher_set version 1");
  TeacherManifest manifest;
  manifest.info = {.teacher_hash = object.at("teacher_hash").get<std::string>(),
                   .tokenizer_hash = object.at("tokenizer_hash").get<std::string>(),
                   .template_hash = object.at("template_hash").get<std::string>(),
                   .dataset_hash = object.at("dataset_hash").get<std::string>(),
                   .vocab_size = parse_count(object, "vocab_size"),
                   .k = parse_count(object, "k")};
  for (const json& shard : object.at("shards")) manifest.shards.push_back(parse_entry(shard));
  manifest.report = object.at("report").dump();
  return manifest;
}

void write_teacher_manifest(const std::string& folder, const TeacherManifest& manifest) {
  const std::string path = manifest_path(folder), temporary = temporary_name(path);
  write_file(temporary, teacher_manifest_text(manifest));
  publish(temporary, path);
}

TeacherManifest read_teacher_manifest(const std::string& folder) {
  const std::string path = manifest_path(folder);
  if (!std::filesystem::exists(path)) {
    throw std::invalid_argument(path +
                                ": is not there; lathe capture makes such a folder, and "
                                "writes this file last: run it to the end");
  }
  const ReadFile file(path);
  if (file.bytes() > kMostManifestBytes) throw std::runtime_error(path + ": is no manifest");
  std::string text(file.bytes(), '\0');
  file.read(text.data(), text.size(), 0);
  try {
    return parse_teacher_manifest(text);
  } catch (const std::exception& error) {
    throw std::runtime_error(path + ": is damaged: " + error.what());
  }
}

std::string dataset_hash(const Dataset& dataset) {
  return hex16(hash_bytes(manifest_text(dataset.manifest())));
}

TeacherSet::TeacherSet(const std::string& folder, const Dataset& dataset)
    : folder_(folder), manifest_(read_teacher_manifest(folder)) {
  const auto expect = [&](const char* what, const std::string& found, const std::string& wanted) {
    if (found == wanted) return;
    throw std::invalid_argument(fmt::format(
        "{}: was made with {} {}, but {} has {}; make it again with lathe capture", folder, what,
        found.empty() ? "none" : found, dataset.folder(), wanted.empty() ? "none" : wanted));
  };
  const TeacherInfo& info = manifest_.info;
  expect("tokenizer", info.tokenizer_hash, dataset.manifest().tokenizer_hash);
  expect("template", info.template_hash, dataset.manifest().template_hash);
  expect("data", info.dataset_hash, dataset_hash(dataset));
  int64_t next = 0;
  for (const TeacherEntry& entry : manifest_.shards) {
    const std::string path = folder + "/" + entry.file;
    auto shard = std::make_unique<TeacherShard>(path, entry.seal);
    if (shard->info() != info || shard->first_document() != entry.first_document ||
        shard->documents() != entry.documents || entry.first_document != next) {
      throw std::runtime_error(path + ": is not the shard that teacher.json means");
    }
    next += entry.documents;
    shards_.push_back(std::move(shard));
  }
  if (next != dataset.documents()) {
    throw std::runtime_error(fmt::format("{}: holds {} documents, {} has {}", folder, next,
                                         dataset.folder(), dataset.documents()));
  }
}

void TeacherSet::read(int64_t document, int64_t before, int64_t count, std::vector<int64_t>& ids,
                      std::vector<float>& logp, std::vector<float>& tail) const {
  const auto after =
      std::upper_bound(shards_.begin(), shards_.end(), document,
                       [](int64_t d, const auto& shard) { return d < shard->first_document(); });
  if (document < 0 || after == shards_.begin())
    throw std::invalid_argument(fmt::format("{}: has no document {}", folder_, document));
  const TeacherShard& shard = **std::prev(after);
  const auto local = static_cast<size_t>(document - shard.first_document());
  if (local + 1 >= shard.offsets().size())
    throw std::invalid_argument(fmt::format("{}: has no document {}", folder_, document));
  const auto first = static_cast<int64_t>(shard.offsets()[local]),
             last = static_cast<int64_t>(shard.offsets()[local + 1]);
  if (before < 0 || count < 0 || before + count > last - first) {
    throw std::runtime_error(
        fmt::format("{}: document {} has {} rows, but trained tokens {} to {} are asked for",
                    folder_, document, last - first, before, before + count));
  }
  const size_t rows = tail.size(), n = static_cast<size_t>(count),
               k = static_cast<size_t>(manifest_.info.k);
  ids.resize((rows + n) * k);
  logp.resize((rows + n) * k);
  tail.resize(rows + n);
  shard.read(first + before, first + before + count, ids.data() + rows * k, logp.data() + rows * k,
             tail.data() + rows);
}

}  // namespace lathe

#include "data/shards/dataset.h"

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

std::string manifest_path(const std::string& folder) { return folder + "/dataset.json"; }

json to_json(const ShardEntry& shard) {
  return {{"file", shard.file},
          {"bytes", shard.seal.bytes},
          {"hash", hex16(shard.hash)},
          {"head_bytes", shard.seal.head_bytes},
          {"head_hash", hex16(shard.seal.head_hash)},
          {"documents", shard.documents},
          {"tokens", shard.tokens},
          {"targets", shard.targets}};
}

uint64_t parse_hash(const std::string& text) {
  uint64_t hash = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    throw std::runtime_error("\"" + text + "\" is no hash of 16 hex digits");
  }
  return hash;
}

int64_t parse_count(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{1} << 56) {
    throw std::runtime_error(fmt::format("{} is {}, expected a count", key, value.dump()));
  }
  return value.get<int64_t>();
}

ShardEntry parse_shard(const json& object) {
  ShardEntry shard;
  shard.file = object.at("file").get<std::string>();
  if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file[0] == '.') {
    throw std::runtime_error("shard file \"" + shard.file + "\" is no plain file name");
  }
  shard.seal = {.bytes = static_cast<uint64_t>(parse_count(object, "bytes")),
                .head_bytes = static_cast<uint64_t>(parse_count(object, "head_bytes")),
                .head_hash = parse_hash(object.at("head_hash").get<std::string>())};
  shard.hash = parse_hash(object.at("hash").get<std::string>());
  shard.documents = parse_count(object, "documents");
  shard.tokens = parse_count(object, "tokens");
  shard.targets = parse_count(object, "targets");
  return shard;
}

// The shard's own words against the manifest's: a file from another data set is found here.
void compare(const std::string& path, const TokenShard& shard, const ShardEntry& entry,
             const DatasetManifest& manifest) {
  const auto differ = [&](const char* what, const auto& found, const auto& expected) {
    if (found == expected) return;
    throw std::runtime_error(
        fmt::format("{}: {} is {}, the manifest says {}", path, what, found, expected));
  };
  int64_t tokens = 0;
  for (const std::string& column : shard.columns())
    tokens += static_cast<int64_t>(shard.offsets(column).back());
  differ("tokenizer_hash", shard.info().tokenizer_hash, manifest.tokenizer_hash);
  differ("template_hash", shard.info().template_hash, manifest.template_hash);
  differ("vocab_size", shard.info().vocab_size, manifest.vocab_size);
  differ("number of documents", shard.documents(), entry.documents);
  differ("number of tokens", tokens, entry.tokens);
}

}  // namespace

ShardEntry shard_entry(const std::string& file, const ShardWriter::Finished& finished) {
  return {.file = file,
          .seal = finished.seal,
          .hash = finished.hash,
          .documents = finished.documents,
          .tokens = finished.tokens,
          .targets = finished.targets};
}

std::string manifest_text(const DatasetManifest& manifest) {
  json shards = json::array();
  for (const ShardEntry& shard : manifest.shards) shards.push_back(to_json(shard));
  const json object = {
      {"format", "lathe.dataset"},
      {"version", manifest.version},
      {"tokenizer_hash", manifest.tokenizer_hash},
      {"template_hash", manifest.template_hash},
      {"options", manifest.options},
      {"vocab_size", manifest.vocab_size},
      {"shards", shards},
      {"report", manifest.report.empty() ? json::object() : json::parse(manifest.report)}};
  return object.dump(2) + "\n";
}

DatasetManifest parse_manifest(const std::string& text) {
  const json object = json::parse(text);
  if (object.at("format") != "lathe.dataset" || object.at("version") != 1) {
    throw std::runtime_error("is not lathe.dataset version 1");
  }
  DatasetManifest manifest{.version = 1,
                           .tokenizer_hash = object.at("tokenizer_hash").get<std::string>(),
                           .template_hash = object.at("template_hash").get<std::string>(),
                           .options = object.at("options").get<std::string>(),
                           .vocab_size = parse_count(object, "vocab_size"),
                           .shards = {},
                           .report = object.at("report").dump()};
  for (const json& shard : object.at("shards")) manifest.shards.push_back(parse_shard(shard));
  return manifest;
}

void write_manifest(const std::string& folder, const DatasetManifest& manifest) {
  const std::string path = manifest_path(folder), temporary = temporary_name(path);
  write_file(temporary, manifest_text(manifest));
  publish(temporary, path);
}

DatasetManifest read_manifest(const std::string& folder) {
  const std::string path = manifest_path(folder);
  if (!std::filesystem::exists(path)) {
    throw std::invalid_argument(
        path +
        ": is not there; a data set folder ends with its manifest, so this one is not "
        "complete or not a data set: prepare it");
  }
  const ReadFile file(path);
  if (file.bytes() > kMostManifestBytes)
    throw std::runtime_error(path + ": is too large for a manifest");
  std::string text(file.bytes(), '\0');
  file.read(text.data(), text.size(), 0);
  try {
    return parse_manifest(text);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format(
        "{}: {}; the manifest is damaged: prepare the data set anew", path, error.what()));
  }
}

Dataset::Dataset(const std::string& folder, const std::string& tokenizer_hash)
    : folder_(folder), manifest_(read_manifest(folder)) {
  if (!tokenizer_hash.empty() && tokenizer_hash != manifest_.tokenizer_hash) {
    throw std::invalid_argument(
        fmt::format("{}: was made with the tokenizer {}, the model's is {}; prepare the data with "
                    "the model's tokenizer",
                    manifest_path(folder), manifest_.tokenizer_hash, tokenizer_hash));
  }
  for (const ShardEntry& entry : manifest_.shards) {
    const std::string path = folder + "/" + entry.file;
    auto shard = std::make_unique<TokenShard>(path, entry.seal);
    compare(path, *shard, entry, manifest_);
    first_document_.push_back(documents_);
    documents_ += shard->documents();
    shards_.push_back(std::move(shard));
  }
}

Dataset::Place Dataset::place(int64_t document) const {
  if (document < 0 || document >= documents_) {
    throw std::invalid_argument(
        fmt::format("{}: has no document {}, it has {}", folder_, document, documents_));
  }
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), document);
  const size_t shard = static_cast<size_t>(after - first_document_.begin()) - 1;
  return {shards_[shard].get(), document - first_document_[shard]};
}

int64_t Dataset::length(int64_t document, const std::string& column) const {
  const Place at = place(document);
  const auto offsets = at.shard->offsets(column);
  return static_cast<int64_t>(offsets[at.document + 1] - offsets[at.document]);
}

}  // namespace lathe

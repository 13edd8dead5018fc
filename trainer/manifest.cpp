#include "trainer/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/shards/hash.h"

namespace lathe {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "lathe.checkpoint";
// The first has no cuts, and is written where there are none.
constexpr int kVersion = 1, kVersionWithCuts = 2;
// What stands around the 16 digits of the hash at the end of the text.
constexpr std::string_view kBeforeHash = ",\n\"hash\": \"", kAfterHash = "\"}\n";
constexpr size_t kTail = kBeforeHash.size() + 16 + kAfterHash.size();

json to_json(const ManifestFile& file) {
  return {{"name", file.name}, {"bytes", file.bytes}, {"hash", hex16(file.hash)}};
}

ManifestFile file_of(const json& value) {
  return {.name = value.at("name").get<std::string>(),
          .bytes = value.at("bytes").get<uint64_t>(),
          .hash = std::stoull(value.at("hash").get<std::string>(), nullptr, 16)};
}

// A piece is [offset, count, byte position, file], and if it is of a part of the tensor, the dim
// and the runs of the cut: [..., dim, begin, end, begin, end, ...].
json to_json(const ManifestPiece& piece) {
  json result{piece.offset, piece.count, piece.position, piece.file};
  if (piece.cut.runs.empty()) return result;
  result.push_back(piece.cut.dim);
  for (const CutRun& run : piece.cut.runs) {
    result.push_back(run.begin);
    result.push_back(run.end);
  }
  return result;
}

Cut cut_of(const json& piece, const std::vector<int64_t>& shape) {
  if (piece.size() == 4) return {};
  Cut cut{.shape = shape, .dim = piece.at(4).get<int64_t>(), .runs = {}};
  if (cut.dim < 0 || cut.dim >= std::ssize(shape)) throw std::out_of_range("a cut has no dim");
  for (size_t i = 5; i < piece.size(); i += 2) {
    const CutRun run{piece.at(i).get<int64_t>(), piece.at(i + 1).get<int64_t>()};
    if (run.begin < 0 || run.end < run.begin || run.end > shape[cut.dim])
      throw std::out_of_range("a cut lies outside its tensor");
    cut.runs.push_back(run);
  }
  return cut;
}

json to_json(const std::map<std::string, ManifestTensor>& tensors) {
  json result = json::object();
  for (const auto& [name, tensor] : tensors) {
    json pieces = json::array();
    for (const ManifestPiece& piece : tensor.pieces) {
      pieces.push_back(to_json(piece));
    }
    result[name] = {{"shape", tensor.shape}, {"pieces", std::move(pieces)}};
  }
  return result;
}

std::map<std::string, ManifestTensor> tensors_of(const json& value) {
  std::map<std::string, ManifestTensor> result;
  for (const auto& [name, tensor] : value.items()) {
    ManifestTensor& entry = result[name];
    entry.shape = tensor.at("shape").get<std::vector<int64_t>>();
    for (const json& piece : tensor.at("pieces")) {
      entry.pieces.push_back({.offset = piece.at(0).get<int64_t>(),
                              .count = piece.at(1).get<int64_t>(),
                              .position = piece.at(2).get<uint64_t>(),
                              .file = piece.at(3).get<int64_t>(),
                              .cut = cut_of(piece, entry.shape)});
    }
  }
  return result;
}

int version_of(const CheckpointManifest& manifest) {
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const ManifestPiece& piece : tensor.pieces) {
      if (!piece.cut.runs.empty()) return kVersionWithCuts;
    }
  }
  return kVersion;
}

int64_t elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count))
      throw std::out_of_range("a shape is impossible");
  }
  return count;
}

void check(const CheckpointManifest& manifest) {
  for (const ManifestFile& file : manifest.files) {
    if (file.name.empty() || file.name.find('/') != std::string::npos ||
        file.name.starts_with(".")) {
      throw std::out_of_range("the file name \"" + file.name + "\" is not one of ours");
    }
  }
  for (const auto& [name, tensor] : manifest.tensors) {
    const int64_t whole = elements(tensor.shape);
    for (const ManifestPiece& piece : tensor.pieces) {
      const int64_t total = piece.cut.runs.empty() ? whole : elements(piece.cut.part_shape());
      const bool in_tensor = piece.offset >= 0 && piece.count > 0 && piece.offset <= total &&
                             piece.count <= total - piece.offset;
      if (!in_tensor) throw std::out_of_range("a piece of " + name + " lies outside the tensor");
      if (piece.file < 0 || piece.file >= static_cast<int64_t>(manifest.files.size())) {
        throw std::out_of_range("a piece of " + name + " lies in no file");
      }
      const uint64_t bytes = manifest.files[piece.file].bytes;
      if (piece.position > bytes ||
          static_cast<uint64_t>(piece.count) > (bytes - piece.position) / sizeof(float)) {
        throw std::out_of_range("a piece of " + name + " lies outside its file");
      }
    }
  }
}

}  // namespace

std::string dump_manifest(const CheckpointManifest& manifest) {
  json files = json::array();
  for (const ManifestFile& file : manifest.files) files.push_back(to_json(file));
  std::string text = fmt::format(
      "{{\"format\": \"{}\",\n\"version\": {},\n\"step\": {},\n\"state\": {},\n\"files\": "
      "{},\n\"tensors\": {}",
      kFormat, version_of(manifest), manifest.step, json::parse(manifest.state).dump(),
      files.dump(), to_json(manifest.tensors).dump());
  const std::string hash = hex16(hash_bytes(text));
  return text.append(kBeforeHash).append(hash).append(kAfterHash);
}

CheckpointManifest parse_manifest(const std::string& text, const std::string& where) {
  const auto damaged = [&](const std::string& why) {
    return std::runtime_error(where + " is damaged: " + why);
  };
  if (text.size() < kTail) throw damaged("it has only " + std::to_string(text.size()) + " bytes");
  const std::string body = text.substr(0, text.size() - kTail);
  const std::string hash = hex16(hash_bytes(body));
  std::string tail;
  if (tail.append(kBeforeHash).append(hash).append(kAfterHash) != text.substr(body.size())) {
    throw damaged("its own hash does not fit its text, which has " + hash);
  }
  CheckpointManifest manifest;
  try {
    const json value = json::parse(text);
    const json& version = value.at("version");
    if (value.at("format") != kFormat || (version != kVersion && version != kVersionWithCuts)) {
      throw std::out_of_range("expected format " + std::string(kFormat) + ", version " +
                              std::to_string(kVersion) + " or " + std::to_string(kVersionWithCuts));
    }
    manifest.step = value.at("step").get<int64_t>();
    manifest.state = value.at("state").dump();
    for (const json& file : value.at("files")) manifest.files.push_back(file_of(file));
    manifest.tensors = tensors_of(value.at("tensors"));
    check(manifest);
  } catch (const std::exception& error) {
    throw damaged(error.what());
  }
  return manifest;
}

std::string dump_part(const ManifestFile& file,
                      const std::map<std::string, ManifestTensor>& tensors) {
  return json{{"file", to_json(file)}, {"tensors", to_json(tensors)}}.dump();
}

void add_part(CheckpointManifest& manifest, const std::string& part) {
  const json value = json::parse(part);
  const auto file = static_cast<int64_t>(manifest.files.size());
  manifest.files.push_back(file_of(value.at("file")));
  for (auto& [name, tensor] : tensors_of(value.at("tensors"))) {
    ManifestTensor& entry = manifest.tensors[name];
    entry.shape = tensor.shape;
    for (ManifestPiece piece : tensor.pieces) {
      piece.file = file;
      entry.pieces.push_back(piece);
    }
  }
}

}  // namespace lathe

#include "trainer/hf_weights.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "trainer/json_fields.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 64 << 20;

// tensor -> file. Shards lie beside the index and nowhere else.
std::map<std::string, std::string> read_index(const std::string& path) {
  const Json index = parse_json_object(read_text_file(path, kMaxIndexBytes), path);
  const Fields fields(index, path);
  if (!fields.has("weight_map") || !fields.at("weight_map").is_object())
    fields.fail("weight_map", "is missing or no object");
  std::map<std::string, std::string> weight_map;
  for (const auto& [name, file] : fields.at("weight_map").items()) {
    const std::string text = file.is_string() ? file.get<std::string>() : "";
    const bool plain = text.ends_with(".safetensors") &&
                       text.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) {
      fields.fail("weight_map", "gives " + shown(file) + " for " + shown(name) +
                                    "; the plain name of a .safetensors file is expected");
    }
    weight_map.emplace(name, text);
  }
  return weight_map;
}

}  // namespace

WeightFiles::WeightFiles(const std::string& folder) {
  if (fs::exists(fs::path(folder) / kWeightsFile)) {
    open(folder, kWeightsFile);
  } else if (fs::exists(fs::path(folder) / kWeightsIndexFile)) {
    open_shards(folder);
  } else {
    std::string message = folder + ": has neither " + kWeightsFile + " nor " + kWeightsIndexFile;
    if (fs::exists(fs::path(folder) / "pytorch_model.bin") ||
        fs::exists(fs::path(folder) / "pytorch_model.bin.index.json")) {
      message += "; pickled weights (pytorch_model.bin) are not read: convert them to safetensors";
    }
    throw std::invalid_argument(message);
  }
}

void WeightFiles::open(const std::string& folder, const std::string& file_name) {
  files_.emplace_back((fs::path(folder) / file_name).string());
  for (const auto& [name, entry] : files_.back().entries()) {
    const auto [place, added] = file_of_.emplace(name, files_.size() - 1);
    if (!added) {
      throw std::invalid_argument(files_.back().path() + ": tensor " + shown(name) +
                                  " is also in " + files_[place->second].path());
    }
  }
}

void WeightFiles::open_shards(const std::string& folder) {
  const std::string path = (fs::path(folder) / kWeightsIndexFile).string();
  const std::map<std::string, std::string> weight_map = read_index(path);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);
  for (const std::string& name : names) {
    if (!fs::exists(fs::path(folder) / name)) {
      throw std::invalid_argument(path + ": names the shard " + shown(name) +
                                  ", which is not there");
    }
    open(folder, name);
  }
  for (const auto& [tensor, file] : weight_map) {
    if (!contains(tensor) || fs::path(this->file(tensor).path()).filename() != file) {
      throw std::invalid_argument(path + ": tensor " + shown(tensor) + " is not in " + shown(file));
    }
  }
  for (const auto& [tensor, file] : file_of_) {
    if (weight_map.count(tensor) == 0) {
      throw std::invalid_argument(files_[file].path() + ": tensor " + shown(tensor) +
                                  " is not in the index");
    }
  }
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

std::string format_weights_index(const std::map<std::string, std::string>& weight_map,
                                 int64_t total_bytes) {
  const Json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}};
  return index.dump(2) + "\n";
}

}  // namespace lathe

#pragma once

#include <string>
#include <vector>

#include "trainer/safetensors.h"

// The weight files of a model folder as one table of tensors: model.safetensors, or the shards that
// model.safetensors.index.json names.
namespace lathe {

inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kWeightsIndexFile[] = "model.safetensors.index.json";

class WeightFiles {
 public:
  // std::invalid_argument when the index and the shards do not agree, or when a shard's name is a
  // path.
  explicit WeightFiles(const std::string& folder);

  // All names, sorted.
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return file_of_.count(name) != 0; }
  const TensorEntry& entry(const std::string& name) const { return file(name).entries().at(name); }
  // A view, valid while this object lives.
  at::Tensor tensor(const std::string& name) const { return file(name).tensor(name); }
  std::string_view bytes(const std::string& name) const { return file(name).bytes(name); }

 private:
  void open(const std::string& folder, const std::string& file_name);
  void open_shards(const std::string& folder);
  const SafetensorsFile& file(const std::string& name) const { return files_[file_of_.at(name)]; }

  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

// The text of an index file, sorted, as transformers writes it. weight_map: tensor -> file.
std::string format_weights_index(const std::map<std::string, std::string>& weight_map,
                                 int64_t total_bytes);

}  // namespace lathe

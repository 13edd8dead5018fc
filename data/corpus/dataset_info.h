#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/corpus/corpus.h"

// LLaMA-Factory's dataset_info.json: names for data sets that lie beside it.
namespace lathe {

struct NamedDataset {
  std::string path;  // of the file or folder
  Reading reading;
};

// What folder/dataset_info.json says about a name; nothing when there is no such file or no such
// name in it. Throws std::invalid_argument, naming the file and the entry, for what is not JSON,
// what can not be read here (a hub, a script, images) and what is no training data for sft or
// pretrain (ranking).
std::optional<NamedDataset> find_named_dataset(const std::string& folder, const std::string& name);

// The names in folder/dataset_info.json, sorted; none when there is no such file.
std::vector<std::string> dataset_names(const std::string& folder);

}  // namespace lathe

#include "recipes/model_hash.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "data/shards/file.h"
#include "data/shards/hash.h"

namespace lathe {

namespace fs = std::filesystem;

std::string hash_of_model(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (extension == ".safetensors" || entry.path().filename() == "config.json")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Hasher hasher;
  for (const fs::path& path : files) {
    const ReadFile file(path);
    hasher.add(hex16(file.hash(0, file.bytes())));
  }
  return hex16(hasher.digest());
}

}  // namespace lathe

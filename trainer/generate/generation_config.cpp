#include "trainer/generate/generation_config.h"

#include <algorithm>
#include <filesystem>

#include "trainer/json_fields.h"

namespace lathe {

std::vector<int64_t> stop_ids_of(const std::string& folder, const ModelConfig& config) {
  std::vector<int64_t> ids = config.eos_token_id;
  const std::string path = (std::filesystem::path(folder) / "generation_config.json").string();
  if (!std::filesystem::exists(path)) return ids;
  const Json json = parse_json_object(read_text_file(path, 1 << 20), path);
  for (const int64_t id : Fields(json, path).ids("eos_token_id", {})) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

}  // namespace lathe

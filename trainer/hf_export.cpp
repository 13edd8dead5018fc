#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <stdexcept>

#include "trainer/hf_folder.h"
#include "trainer/hf_weights.h"
#include "trainer/json_fields.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kChatTemplateFile = "chat_template.jinja";
constexpr const char* kCarriedFiles[] = {
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    kChatTemplateFile,
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
};
constexpr uint64_t kMaxCarriedBytes = 256 << 20;

// One file of weights to be: its name and the parameters in it.
struct Shard {
  std::string file;
  std::vector<TensorSpec> specs;
  int64_t bytes = 0;
};

const char* dtype_name(at::ScalarType type) {
  if (type == at::kFloat) return "float32";
  if (type == at::kBFloat16) return "bfloat16";
  if (type == at::kHalf) return "float16";
  throw std::invalid_argument(std::string("weights cannot be stored as ") + c10::toString(type) +
                              "; float32, bfloat16 and float16 are supported");
}

// A tensor is never split; one that is larger than the limit has a file of its own.
std::vector<Shard> plan_shards(Model& model, at::ScalarType store_dtype, int64_t max_shard_bytes) {
  std::vector<Shard> shards;
  for (const Parameter* parameter : model.parameters()) {
    const int64_t bytes =
        parameter->value.numel() * static_cast<int64_t>(at::elementSize(store_dtype));
    if (shards.empty() ||
        (shards.back().bytes + bytes > max_shard_bytes && shards.back().bytes > 0))
      shards.emplace_back();
    shards.back().specs.push_back({parameter->name, store_dtype, parameter->value.sizes().vec()});
    shards.back().bytes += bytes;
  }
  if (shards.size() == 1) shards[0].file = kWeightsFile;
  for (size_t i = 0; shards.size() > 1 && i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    shards[i].file = name;
  }
  return shards;
}

// The weight as it is stored.
at::Tensor stored(const at::Tensor& value, const std::string& name, at::ScalarType store_dtype) {
  const at::Tensor out = value.detach().to(at::kCPU, store_dtype).contiguous();
  if (store_dtype == at::kHalf &&
      !at::isfinite(out).eq(at::isfinite(value.detach().to(at::kCPU))).all().item<bool>()) {
    throw std::invalid_argument(
        "tensor " + name +
        " holds values beyond 65504, the largest of float16; store bfloat16 or float32");
  }
  return out;
}

// A temporary name and rename: a reader sees the old file or the new one.
void write_text(const fs::path& path, const std::string& text) {
  const std::string temporary = path.string() + ".tmp-" + std::to_string(::getpid());
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = file && descriptor >= 0 && ::fsync(descriptor) == 0;
  if (descriptor >= 0) ::close(descriptor);
  if (!synced) {
    fs::remove(temporary);
    throw std::runtime_error("cannot write " + path.string() + ": " + std::strerror(errno));
  }
  fs::rename(temporary, path);
}

void carry_files(const fs::path& source, const fs::path& folder) {
  const fs::path from = fs::is_regular_file(source) ? source.parent_path() : source;
  if (!fs::is_directory(from))
    throw std::invalid_argument(source.string() + ": the tokenizer's folder is not there");
  if (fs::equivalent(from, folder)) return;
  for (const char* name : kCarriedFiles) {
    if (fs::is_regular_file(from / name)) {
      write_text(folder / name, read_text_file((from / name).string(), kMaxCarriedBytes));
    } else {
      fs::remove(folder / name);
    }
  }
}

// Weight files of an earlier save, which a reader could mistake for this one's.
void remove_stale(const fs::path& folder, const std::set<std::string>& kept) {
  static const std::regex ours(
      R"(model\.safetensors(\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors)");
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (kept.count(name) == 0 && std::regex_match(name, ours)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path);
}

void compare_with_memory(const fs::path& folder, const std::vector<Shard>& shards,
                         const std::function<at::Tensor(const std::string&)>& value,
                         const ModelConfig& config) {
  const WeightFiles files(folder.string());
  size_t count = 0;
  for (const Shard& shard : shards) {
    for (const TensorSpec& spec : shard.specs) {
      const at::Tensor expected = value(spec.name);
      const std::string_view bytes = files.bytes(spec.name);
      if (files.entry(spec.name).shape != spec.shape || bytes.size() != expected.nbytes() ||
          std::memcmp(bytes.data(), expected.const_data_ptr(), bytes.size()) != 0) {
        throw std::runtime_error(folder.string() + ": tensor " + spec.name +
                                 " does not read back as it was written");
      }
      ++count;
    }
  }
  if (files.names().size() != count ||
      dump_model_config(read_model_config(folder.string())) != dump_model_config(config)) {
    throw std::runtime_error(folder.string() + ": does not read back as it was written");
  }
}

}  // namespace

std::string read_chat_template(const std::string& folder) {
  const fs::path path = fs::path(folder) / kChatTemplateFile;
  return fs::is_regular_file(path) ? read_text_file(path.string(), kMaxCarriedBytes) : "";
}

void write_chat_template(const std::string& folder, const std::string& text) {
  if (!text.empty()) write_text(fs::path(folder) / kChatTemplateFile, text);
}

void carry_tokenizer(const std::string& tokenizer_folder, const std::string& folder) {
  carry_files(tokenizer_folder, folder);
}

void save_model(Model& model, const std::string& folder, const std::string& tokenizer_folder,
                at::ScalarType store_dtype, int64_t max_shard_bytes, const WeightSource& weights) {
  ModelConfig config = model.config();
  config.dtype = dtype_name(store_dtype);
  std::map<std::string, const Parameter*> parameters;
  for (const Parameter* parameter : model.parameters())
    parameters.emplace(parameter->name, parameter);
  const auto value = [&](const std::string& name) {
    const at::Tensor given = weights ? weights(name) : at::Tensor();
    return stored(given.defined() ? given : parameters.at(name)->value, name, store_dtype);
  };

  const std::vector<Shard> shards = plan_shards(model, store_dtype, max_shard_bytes);
  fs::create_directories(folder);
  std::map<std::string, std::string> weight_map;
  std::set<std::string> kept;
  int64_t total = 0;
  for (const Shard& shard : shards) {
    write_safetensors((fs::path(folder) / shard.file).string(), shard.specs, value);
    for (const TensorSpec& spec : shard.specs) weight_map[spec.name] = shard.file;
    kept.insert(shard.file);
    total += shard.bytes;
  }
  if (shards.size() > 1) {
    write_text(fs::path(folder) / kWeightsIndexFile, format_weights_index(weight_map, total));
    kept.insert(kWeightsIndexFile);
  }
  write_text(fs::path(folder) / "config.json", dump_model_config(config));
  if (!tokenizer_folder.empty()) carry_files(tokenizer_folder, folder);
  remove_stale(folder, kept);
  compare_with_memory(folder, shards, value, config);
}

}  // namespace lathe

#include "recipes/stage.h"

#include <fmt/core.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "trainer/agree.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

std::string hash_of(const std::string& text) { return hex16(hash_bytes(text)); }

std::string read_whole(const std::string& path) {
  const ReadFile file(path);
  std::string text(file.bytes(), '\0');
  file.read(text.data(), text.size(), 0);
  return text;
}

void write_whole(const std::string& path, const std::string& text) {
  const std::string temporary = temporary_name(path);
  write_file(temporary, text);
  publish(temporary, path);
}

[[noreturn]] void fail_damaged(const std::string& path) {
  throw std::runtime_error(path +
                           ": is not what its stage wrote; remove it "
                           "and its .stage.json to make it again");
}

}  // namespace

StageFolder::StageFolder(std::string folder, Group& world)
    : folder_(std::move(folder)), world_(world) {
  together(world_, [&] {
    if (world_.rank() == 0) fs::create_directories(folder_);
  });
}

bool StageFolder::is_done(const std::string& name, const std::string& inputs,
                          std::string& output) const {
  const std::string path = folder_ + "/" + name + ".stage.json";
  if (!fs::exists(path)) return false;
  const nlohmann::json stage = nlohmann::json::parse(read_whole(path), nullptr, false);
  if (!stage.is_object() || !stage.contains("inputs") || !stage.contains("output"))
    fail_damaged(path);
  if (stage["inputs"] != hash_of(inputs)) {
    throw std::invalid_argument(path +
                                ": this stage was made of other data, another "
                                "model or other settings; give another "
                                "output_dir, or remove the folder");
  }
  output = stage["output"].get<std::string>();
  return true;
}

void StageFolder::finish(const std::string& name, const std::string& inputs,
                         const std::string& output) const {
  const nlohmann::ordered_json stage{
      {"stage", name}, {"inputs", hash_of(inputs)}, {"output", output}};
  write_whole(folder_ + "/" + name + ".stage.json", stage.dump(2) + "\n");
}

std::string StageFolder::text(const std::string& name, const std::string& inputs,
                              const std::function<std::string()>& make) {
  const std::string path = folder_ + "/" + name;
  std::string kept, output;
  bool done = false;
  together(world_, [&] {
    if (world_.rank() != 0 || !is_done(name, inputs, output)) return;
    kept = read_whole(path);
    if (hash_of(kept) != output) fail_damaged(path);
    done = true;
  });
  if (!any(world_, done)) {
    kept = make();
    together(world_, [&] {
      if (world_.rank() != 0) return;
      write_whole(path, kept);
      finish(name, inputs, hash_of(kept));
    });
  }
  return broadcast_bytes(world_, world_.rank() == 0 ? kept : std::string(), 0);
}

void StageFolder::work(const std::string& name, const std::string& inputs,
                       const std::function<void()>& make,
                       const std::function<std::string()>& output) {
  bool done = false;
  together(world_, [&] {
    std::string before;
    if (world_.rank() != 0 || !is_done(name, inputs, before)) return;
    if (output() != before) fail_damaged(folder_ + "/" + name);
    done = true;
  });
  if (any(world_, done)) return;
  make();
  together(world_, [&] {
    if (world_.rank() == 0) finish(name, inputs, output());
  });
}

}  // namespace lathe

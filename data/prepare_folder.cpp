#include "data/prepare_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/corpus/shapes.h"
#include "data/shards/file.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kJournal = "journal.json";

std::string journal_text(const PrepareJournal& journal, const std::string& key) {
  DatasetManifest manifest = journal.manifest;
  manifest.report = report_text(journal.report);
  const json object = {{"key", key},
                       {"file", journal.file},
                       {"offset", journal.position.offset},
                       {"line", journal.position.line},
                       {"shape", shape_name(journal.shape)},
                       {"manifest", manifest_text(manifest)}};
  return object.dump(1) + "\n";
}

// Nothing when it is not there, of other files or options, or damaged: then all is made anew.
std::optional<PrepareJournal> read_journal(const std::string& path, const std::string& key) try {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const json object = json::parse(text);
  if (object.at("key") != key) return std::nullopt;
  PrepareJournal journal;
  journal.file = object.at("file");
  journal.position = {object.at("offset"), object.at("line")};
  journal.shape = shape_named(object.at("shape").get<std::string>());
  journal.manifest = parse_manifest(object.at("manifest"));
  journal.report = parse_report(journal.manifest.report);
  return journal;
} catch (const std::exception&) {
  return std::nullopt;
}

// Of the same tokens, whatever the files were called that they came from.
bool same_tokens(DatasetManifest a, DatasetManifest b) {
  a.report = b.report = "{}";
  return manifest_text(a) == manifest_text(b);
}

}  // namespace

WorkFolder::WorkFolder(std::string path, std::string key)
    : path_(std::move(path)), key_(std::move(key)), folder_(path_ + ".partial") {
  if (fs::exists(path_) && !(fs::is_directory(path_) && fs::is_empty(path_)))
    throw std::invalid_argument(path_ + ": is there already; remove it or name another folder");
  fs::create_directories(folder_);
  if (lock()) {
    take_up();
    return;
  }
  folder_ = temporary_name(path_);
  fs::create_directories(folder_);
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  if (!keep_) fs::remove_all(folder_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

// On the folder itself, so that it ends with the process, however that ends.
bool WorkFolder::lock() {
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) == 0) return true;
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
  return false;
}

void WorkFolder::take_up() {
  found_ = read_journal(folder_ + "/" + kJournal, key_);
  if (found_) {
    try {
      for (const ShardEntry& entry : found_->manifest.shards)
        TokenShard(folder_ + "/" + entry.file, entry.seal);
    } catch (const std::exception&) {
      found_.reset();
    }
  }
  keep_ = found_.has_value();
  remove_all_but(found_ ? found_->manifest : DatasetManifest{});
}

void WorkFolder::remove_all_but(const DatasetManifest& manifest) {
  const auto is_part = [&](const std::string& name) {
    return name == kJournal || std::any_of(manifest.shards.begin(), manifest.shards.end(),
                                           [&](const auto& shard) { return shard.file == name; });
  };
  std::vector<fs::path> others;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (!found_ || !is_part(entry.path().filename().string())) others.push_back(entry.path());
  }
  for (const fs::path& other : others) fs::remove_all(other);
}

void WorkFolder::save(const PrepareJournal& journal) {
  if (lock_ < 0) return;
  const std::string path = folder_ + "/" + kJournal, temporary = temporary_name(path);
  write_file(temporary, journal_text(journal, key_));
  lathe::publish(temporary, path);
  keep_ = true;
}

void WorkFolder::discard() { keep_ = false; }

void WorkFolder::publish(const DatasetManifest& manifest) {
  write_manifest(folder_, manifest);
  fs::remove(folder_ + "/" + kJournal);
  keep_ = false;
  try {
    lathe::publish(folder_, path_);
  } catch (const std::runtime_error&) {
    // Another process may have prepared the same meanwhile: then its folder is as good as ours.
    if (!fs::exists(path_ + "/dataset.json") || !same_tokens(read_manifest(path_), manifest)) throw;
  }
}

}  // namespace lathe

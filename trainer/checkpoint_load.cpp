#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "trainer/agree.h"
#include "trainer/checkpoint.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-", kTemporary = ".tmp-";
// A manifest takes about 100 bytes per tensor and rank: this is far beyond any that we write.
constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 30;

CheckpointManifest read_manifest(const std::string& folder) {
  const ReadFile file(folder + "/manifest.json");
  if (file.bytes() > kMaxManifestBytes)
    throw std::runtime_error(file.path() + " is damaged: it is too large");
  std::string text(file.bytes(), '\0');
  file.read(text.data(), text.size(), 0);
  return parse_manifest(text, file.path());
}

void check_size(const std::string& folder, const ManifestFile& file) {
  const std::string path = folder + "/" + file.name;
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  if (error) throw std::runtime_error(path + " can not be read: " + error.message());
  if (bytes != file.bytes) {
    throw std::runtime_error(path + " is damaged: it has " + std::to_string(bytes) +
                             " bytes, expected " + std::to_string(file.bytes));
  }
}

void check_hash(const std::string& folder, const ManifestFile& file) {
  const ReadFile read(folder + "/" + file.name);
  const uint64_t hash = read.hash(0, read.bytes());
  if (hash != file.hash) {
    throw std::runtime_error(read.path() + " is damaged: its xxh64 is " + hex16(hash) +
                             ", expected " + hex16(file.hash));
  }
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// The steps of the folder's checkpoints, highest first.
std::vector<int64_t> steps_in(const std::string& output_dir) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !entry.is_directory()) continue;
    const std::string digits = name.substr(kPrefix.size());
    const bool number = !digits.empty() && digits.size() <= 18 &&
                        std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    if (number && (digits == "0" || digits[0] != '0')) steps.push_back(std::stoll(digits));
  }
  std::ranges::sort(steps, std::greater<>());
  return steps;
}

// Manifest and sizes only.
bool looks_complete(const std::string& folder) {
  try {
    const CheckpointManifest manifest = read_manifest(folder);
    for (const ManifestFile& file : manifest.files) check_size(folder, file);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

std::string checkpoint_folder(const std::string& output_dir, int64_t step) {
  return output_dir + "/" + std::string(kPrefix) + std::to_string(step);
}

Checkpoint::Checkpoint(std::string folder, Group& group) : folder_(std::move(folder)) {
  together(group, [&] {
    manifest_ = read_manifest(folder_);
    for (const ManifestFile& file : manifest_.files) check_size(folder_, file);
    for (size_t i = group.rank(); i < manifest_.files.size(); i += group.size()) {
      check_hash(folder_, manifest_.files[i]);
    }
  });
}

void Checkpoint::fill(const std::vector<StateSlice>& slices) const {
  std::vector<std::unique_ptr<ReadFile>> files;
  for (const ManifestFile& file : manifest_.files)
    files.push_back(std::make_unique<ReadFile>(folder_ + "/" + file.name));
  for (const StateSlice& slice : slices) {
    const auto found = manifest_.tensors.find(slice.name);
    if (found == manifest_.tensors.end())
      throw std::invalid_argument(folder_ + " has no tensor " + slice.name);
    const ManifestTensor& tensor = found->second;
    if (tensor.shape != slice.shape) {
      throw std::invalid_argument(folder_ + ": " + slice.name + " is " + shape_text(tensor.shape) +
                                  ", expected " + shape_text(slice.shape));
    }
    std::vector<ManifestPiece> pieces = tensor.pieces;
    std::ranges::sort(pieces, {}, &ManifestPiece::offset);
    float* values = slice.values.data_ptr<float>();
    int64_t at = slice.offset;  // everything before it is filled
    const int64_t end = slice.offset + slice.values.numel();
    for (const ManifestPiece& piece : pieces) {
      if (piece.offset > at || at >= end) break;
      const int64_t to = std::min(end, piece.offset + piece.count);
      if (to <= at) continue;
      files[piece.file]->read(values + (at - slice.offset), (to - at) * sizeof(float),
                              piece.position + (at - piece.offset) * sizeof(float));
      at = to;
    }
    if (at < end) {
      throw std::invalid_argument(folder_ + ": " + slice.name + " lacks the elements from " +
                                  std::to_string(at) + " on");
    }
  }
}

std::optional<Checkpoint> open_newest_checkpoint(
    const std::string& output_dir, Group& group,
    const std::function<void(const std::string&)>& note, int64_t before) {
  // Rank 0's list counts: another rank may see the folder later.
  std::string list;
  if (group.rank() == 0) {
    for (const int64_t step : steps_in(output_dir)) {
      if (step < before) list += std::to_string(step) + "\n";
    }
  }
  list = broadcast_bytes(group, list, 0);
  for (size_t at = 0; at < list.size(); at = list.find('\n', at) + 1) {
    const std::string folder = checkpoint_folder(output_dir, std::stoll(list.substr(at)));
    try {
      return Checkpoint(folder, group);
    } catch (const PeerLost&) {
      throw;
    } catch (const std::runtime_error& error) {
      note(folder + " is passed over: " + error.what());
    }
  }
  if (list.empty()) return std::nullopt;
  throw std::runtime_error(
      "none of the checkpoints in " + output_dir +
      " can be used; move them away, or set resume_from_checkpoint=never to start anew");
}

void prune_checkpoints(const std::string& output_dir, int64_t keep, int64_t best) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(output_dir)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.find(kTemporary) != std::string::npos)
      leftovers.push_back(entry.path());
  }
  int64_t complete = 0;
  for (const int64_t step : steps_in(output_dir)) {
    const fs::path folder = checkpoint_folder(output_dir, step);
    if (keep > 0 && complete >= keep && step != best) {
      // Renamed first: what is removed half-way does not look like a checkpoint.
      const fs::path doomed = folder.string() + std::string(kTemporary) + "old";
      fs::remove_all(doomed);
      fs::rename(folder, doomed);
      leftovers.push_back(doomed);
    } else if (looks_complete(folder)) {
      ++complete;
    }
  }
  for (const fs::path& path : leftovers) fs::remove_all(path);
}

}  // namespace lathe

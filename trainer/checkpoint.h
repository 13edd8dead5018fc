#pragma once

#include <functional>
#include <future>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "trainer/manifest.h"
#include "trainer/optimizer.h"

// The training state as per-rank HDF5 files plus a manifest written last; any mesh may load what
// any mesh wrote.
//
// checkpoint-<step>.tmp-<nonce>/rank-<r>.h5 are written, fsynced and hashed by their ranks, a slice
// that several ranks hold by one of them; rank 0 then writes manifest.json (file sizes and xxh64
// hashes, tensors by name with global shape and slices, `state`), fsyncs and renames the folder to
// checkpoint-<step>. No byte is used before size and hash match; then slices are read from where
// the manifest says that they lie, past HDF5.
namespace lathe {

// A checkpoint could not be written. Every rank throws it; no new checkpoint is there and the old
// ones are untouched.
struct SaveFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A save under way. `slices` must be the same runs on every rank that holds them.
class CheckpointSave {
 public:
  // Collective. state: JSON text with everything that is not a tensor (step, data position,
  // counters, config hash). in_background: the numbers are copied and a thread writes this rank's
  // file; they may change at once. Else they are written when this returns.
  CheckpointSave(std::string output_dir, int64_t step, Mesh& mesh,
                 const std::vector<StateSlice>& slices, std::string state,
                 bool in_background = false);
  // One that was not finished leaves no checkpoint.
  ~CheckpointSave();
  CheckpointSave(const CheckpointSave&) = delete;
  CheckpointSave& operator=(const CheckpointSave&) = delete;

  int64_t step() const { return step_; }
  bool written() const;  // this rank's file is, or has failed: finish() will not wait for it
  // Collective: waits for all files and gives the checkpoint its name. Refuses numbers that are not
  // finite (SaveFailed).
  void finish();

 private:
  [[noreturn]] void fail(const std::exception& cause);

  std::string output_dir_, temporary_, state_;
  int64_t step_;
  Group& world_;
  std::vector<StateSlice> mine_;
  std::future<std::string> part_;  // of the manifest, by this rank's file
  bool finished_ = false;
};

// All of it at once.
void save_checkpoint(const std::string& output_dir, int64_t step, Mesh& mesh,
                     const std::vector<StateSlice>& slices, const std::string& state);

// An opened checkpoint: complete and undamaged.
class Checkpoint {
 public:
  // Collective: checks every file's size and hash, the files shared out over the group's ranks.
  // Damage is std::runtime_error on every rank, naming the file.
  Checkpoint(std::string folder, Group& group);

  const std::string& folder() const { return folder_; }
  int64_t step() const { return manifest_.step; }
  const std::string& state() const { return manifest_.state; }
  // Fills the slices from the files of whatever mesh wrote them; not collective. Missing or
  // mis-shaped tensors are std::invalid_argument by name.
  void fill(const std::vector<StateSlice>& slices) const;

 private:
  std::string folder_;
  CheckpointManifest manifest_;
};

// Collective: the complete, undamaged checkpoint with the highest step, but below `before`. `note`
// is told of each that was passed over and why. If there are checkpoints, but none can be used:
// std::runtime_error.
std::optional<Checkpoint> open_newest_checkpoint(
    const std::string& output_dir, Group& group,
    const std::function<void(const std::string&)>& note,
    int64_t before = std::numeric_limits<int64_t>::max());

// Removes all but the newest `keep` complete checkpoints (0: keeps all) and left-over temporary
// folders; never the checkpoint of step `best`. Rank 0 only.
void prune_checkpoints(const std::string& output_dir, int64_t keep, int64_t best = 0);

std::string checkpoint_folder(const std::string& output_dir, int64_t step);

// Collective: how many bytes of numbers a checkpoint of these slices has.
double checkpoint_bytes(Mesh& mesh, const std::vector<StateSlice>& slices);

// Collective: SaveFailed on every rank, with both figures, unless `copies` checkpoints more fit
// beside those that are there.
void require_space(const std::string& output_dir, Mesh& mesh, double bytes, double copies);

}  // namespace lathe

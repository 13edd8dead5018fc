#pragma once

#include <functional>
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

// Collective. state: JSON text with everything that is not a tensor (step, data position, counters,
// config hash). Refuses (SaveFailed) to write numbers that are not finite.
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

// Collective: the complete, undamaged checkpoint with the highest step. `note` is told of each that
// was passed over and why. If there are checkpoints, but none can be used: std::runtime_error.
std::optional<Checkpoint> open_newest_checkpoint(
    const std::string& output_dir, Group& group,
    const std::function<void(const std::string&)>& note);

// Removes all but the newest `keep` complete checkpoints (0: keeps all) and left-over temporary
// folders. Rank 0 only.
void prune_checkpoints(const std::string& output_dir, int64_t keep);

}  // namespace lathe

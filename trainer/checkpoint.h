#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "trainer/optimizer.h"

// The training state as per-rank HDF5 files plus a manifest written last; any mesh may load what any mesh wrote.
//
// checkpoint-<step>.tmp-<nonce>/rank-<r>.h5 are written, fsynced and hashed by their ranks; rank 0 then writes
// manifest.json (file sizes and xxh64 hashes, tensors by name with global shape and slices, `state`), fsyncs and renames
// the folder to checkpoint-<step>. No byte reaches HDF5 or JSON before size and hash match.
namespace lathe {

// state: JSON text with everything that is not a tensor (step, data position, counters, config hash).
void save_checkpoint(const std::string& output_dir, int64_t step, Mesh& mesh, const std::vector<StateSlice>& slices,
                     const std::string& state);

// Fills every slice from the files of whatever mesh wrote them; returns `state`. Missing or mis-shaped tensors are
// std::invalid_argument by name; damage is std::runtime_error naming the file.
std::string load_checkpoint(const std::string& checkpoint, std::vector<StateSlice>& slices);

// The complete, undamaged checkpoint with the highest step. `note` is told of each that was passed over and why.
std::optional<std::string> newest_checkpoint(const std::string& output_dir, const std::function<void(const std::string&)>& note);

// Removes all but the newest `keep` checkpoints (0: keeps all) and left-over temporary folders. Rank 0 only.
void prune_checkpoints(const std::string& output_dir, int64_t keep);

}  // namespace lathe

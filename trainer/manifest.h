#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "parallel/cut.h"

// manifest.json of a checkpoint: which files it has, and where the bytes of every tensor lie in
// them.
//
// The text ends with its own xxh64 over all that stands before, so that no flipped byte of it goes
// unseen.
namespace lathe {

struct ManifestFile {
  std::string name;
  uint64_t bytes = 0, hash = 0;
};

// Elements [offset, offset + count) of a flattened tensor, as float32 from byte `position` of
// files[file] on. Of a tensor that was cut over tp: of what the cut leaves, flattened.
struct ManifestPiece {
  int64_t offset = 0, count = 0;
  uint64_t position = 0;
  int64_t file = 0;
  Cut cut = {};
};

struct ManifestTensor {
  std::vector<int64_t> shape;
  std::vector<ManifestPiece> pieces;
};

struct CheckpointManifest {
  int64_t step = 0;
  std::string state;  // JSON text
  std::vector<ManifestFile> files;
  std::map<std::string, ManifestTensor> tensors;
};

std::string dump_manifest(const CheckpointManifest& manifest);

// `where` names the text in messages. Damage is std::runtime_error. Pieces are checked: inside
// their tensor and file.
CheckpointManifest parse_manifest(const std::string& text, const std::string& where);

// A rank's part of the manifest, on its way to rank 0: its file and its pieces.
std::string dump_part(const ManifestFile& file,
                      const std::map<std::string, ManifestTensor>& tensors);
void add_part(CheckpointManifest& manifest, const std::string& part);

}  // namespace lathe

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/shards/token_shard.h"

// A folder of shards with dataset.json, the manifest that is written last.
namespace lathe {

struct ShardEntry {
  std::string file;   // its name in the folder
  ShardSeal seal;     // checked when the shard is opened
  uint64_t hash = 0;  // xxh64 of the whole file; only verify() reads that much
  int64_t documents = 0, tokens = 0, targets = 0;
};

struct DatasetManifest {
  int version = 1;
  std::string tokenizer_hash, template_hash,
      options;  // options: canonical text of what shaped the tokens
  int64_t vocab_size = 0;
  std::vector<ShardEntry> shards;
  std::string report;  // JSON: kept, cut, dropped, all-masked counts
};

ShardEntry shard_entry(const std::string& file, const ShardWriter::Finished& finished);

// Text of dataset.json, and back. Hashes are hex: JSON numbers hold 53 bits only. What is no
// manifest is an exception that does not name a file.
std::string manifest_text(const DatasetManifest& manifest);
DatasetManifest parse_manifest(const std::string& text);
void write_manifest(const std::string& folder,
                    const DatasetManifest& manifest);  // temporary name, fsync, rename
// Throws std::invalid_argument when there is no manifest, std::runtime_error when it is damaged;
// both name the file.
DatasetManifest read_manifest(const std::string& folder);

class Dataset {
 public:
  // Opens every shard of the folder, checks its size, head, hashes and counts against the manifest.
  // Tokens are checked when they are read: opening costs what the offsets cost, not what the tokens
  // cost. A non-empty tokenizer_hash that differs from the manifest's is std::invalid_argument
  // naming both.
  explicit Dataset(const std::string& folder, const std::string& tokenizer_hash = "");

  const DatasetManifest& manifest() const { return manifest_; }
  const std::string& folder() const { return folder_; }
  int64_t documents() const { return documents_; }
  // Which shard document d (counted through all shards) lies in, and its index there.
  struct Place {
    const TokenShard* shard;
    int64_t document;
  };
  Place place(int64_t document) const;
  int64_t length(int64_t document, const std::string& column = "sequence") const;
  const std::vector<std::unique_ptr<TokenShard>>& shards() const { return shards_; }

 private:
  std::string folder_;
  DatasetManifest manifest_;
  std::vector<std::unique_ptr<TokenShard>> shards_;
  std::vector<int64_t> first_document_;
  int64_t documents_ = 0;
};

}  // namespace lathe

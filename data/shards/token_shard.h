#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

// One immutable HDF5 file of token ids with document offsets and training masks.
//
// Layout (format "lathe.shard", version 1): columns/<name>/{tokens, offsets, mask}: tokens u16 when
// the vocabulary fits, else u32, contiguous, uncompressed; offsets u64 [documents+1]; mask one bit
// per token, least significant first (absent: all are trained). hashes: xxh64 per 1 MiB block of
// each data set. Attributes: format, version, tokenizer_hash, template_hash, vocab_size, documents.
// HDF5 only finds the byte ranges; they are read where the page cache has them; a block's hash is
// checked the first time it is touched. Damage is std::runtime_error naming file, data set and
// block.
//
// All HDF5 metadata lies in one head at the front of the file, all data behind it. The data set's
// manifest keeps a hash of the head (ShardSeal), so HDF5 never parses bytes that nobody vouches
// for, and opening costs a few KiB, not the file.
namespace lathe {

struct ShardInfo {
  std::string tokenizer_hash, template_hash;
  int64_t vocab_size = 0;
  int64_t documents = 0;
};

// What a manifest must keep to trust a file before HDF5 sees it.
struct ShardSeal {
  uint64_t bytes = 0;  // size of the file
  uint64_t head_bytes = 0,
           head_hash = 0;  // xxh64 of the first head_bytes: everything but data sets
  bool operator==(const ShardSeal&) const = default;
};

// Holds one shard in memory (2 or 4 bytes a token) until finish().
// Writes <path>.tmp-<pid>-<nonce>, then fsync and rename to path. A writer that is destroyed before
// finish() leaves nothing.
class ShardWriter {
 public:
  ShardWriter(std::string path, ShardInfo info, std::vector<std::string> columns = {"sequence"});
  ~ShardWriter();
  // One document: per column its ids and mask (empty mask: all trained). Ids must lie in [0,
  // vocab_size).
  void add(std::span<const std::span<const int32_t>> ids,
           std::span<const std::span<const uint8_t>> masks);
  void add(std::span<const int32_t> ids, std::span<const uint8_t> mask);  // the one-column form
  int64_t documents() const;
  int64_t tokens() const;  // of all columns
  // hash: xxh64 over all bytes of the file. targets: trained tokens, the first token of a document
  // never counted.
  struct Finished {
    ShardSeal seal;
    uint64_t hash = 0;
    int64_t documents = 0, tokens = 0, targets = 0;
  };
  Finished finish();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

class TokenShard {
 public:
  // Checks format, version and the file's shape, before that the seal if there is one; no token is
  // read yet.
  explicit TokenShard(const std::string& path, const std::optional<ShardSeal>& seal = std::nullopt);
  ~TokenShard();

  const ShardInfo& info() const;
  int64_t documents() const;
  std::vector<std::string> columns() const;
  // Documents' first tokens in the column, [documents()+1].
  std::span<const uint64_t> offsets(const std::string& column = "sequence") const;
  // Whether every token of the column is trained: no mask is stored.
  bool all_trained(const std::string& column = "sequence") const;
  // Tokens [begin, end) of a column as int64 into out, their mask as 0/1 bytes into mask (either
  // may be null). Thread-safe.
  void read(const std::string& column, int64_t begin, int64_t end, int64_t* out,
            uint8_t* mask) const;
  // Number of trained tokens of all documents, the first token of each not counted.
  int64_t count_targets(const std::string& column = "sequence") const;
  // Checks every block that was not touched yet.
  void verify() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe

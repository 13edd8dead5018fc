#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

// One immutable HDF5 file of token ids with document offsets and training masks.
//
// Layout (format "lathe.shard", version 1): columns/<name>/{tokens, offsets, mask}: tokens u16 when the vocabulary fits,
// else u32, contiguous, uncompressed; offsets u64 [documents+1]; mask one bit per token, least significant first (absent:
// all are trained). hashes: xxh64 per 1 MiB block of each data set. Attributes: format, version, tokenizer_hash,
// template_hash, vocab_size, documents. HDF5 only finds the byte ranges; pread reads them; a block's hash is checked the
// first time it is touched. Damage is std::runtime_error naming file, data set and block.
namespace lathe {

struct ShardInfo {
  std::string tokenizer_hash, template_hash;
  int64_t vocab_size = 0;
  int64_t documents = 0;
};

// Writes <path>.tmp-<pid>-<nonce>, then fsync and rename to path. A writer that is destroyed before finish() leaves nothing.
class ShardWriter {
 public:
  ShardWriter(std::string path, ShardInfo info, std::vector<std::string> columns = {"sequence"});
  ~ShardWriter();
  // One document: per column its ids and mask (empty mask: all trained). Ids must lie in [0, vocab_size).
  void add(std::span<const std::span<const int32_t>> ids, std::span<const std::span<const uint8_t>> masks);
  void add(std::span<const int32_t> ids, std::span<const uint8_t> mask);  // the one-column form
  int64_t documents() const;
  int64_t tokens() const;
  // Returns the file's size and xxh64 over all its bytes, for the manifest.
  struct Finished {
    uint64_t bytes;
    uint64_t hash;
    int64_t documents, tokens, targets;
  };
  Finished finish();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

class TokenShard {
 public:
  // Checks format, version and the file's shape; no token is read yet.
  explicit TokenShard(const std::string& path);
  ~TokenShard();

  const ShardInfo& info() const;
  int64_t documents() const;
  // Documents' first tokens in the column, [documents()+1].
  std::span<const uint64_t> offsets(const std::string& column = "sequence") const;
  // Tokens [begin, end) of a column as int64 into out, their mask as 0/1 bytes into mask (may be null). Thread-safe.
  void read(const std::string& column, int64_t begin, int64_t end, int64_t* out, uint8_t* mask) const;
  // Number of trained tokens of documents [first, last), the first token of each document not counted.
  int64_t count_targets(const std::string& column = "sequence") const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lathe
